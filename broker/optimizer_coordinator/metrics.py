"""The metrics of a coordinator."""

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from optimizer_wire.messages import State

RESULTS = (
    "hit",
    "joined",
    "led",
    "known",
    "resubmitted",
    "gone",
    "cancelled",
    "refused",
    "turned_away",
    "sent_back",
)
BREAKER_STATES = ("closed", "open", "half_open")
REDIS_AWAY, NO_STATE = "redis_away", "none"

REQUESTS = Counter(
    "optimizer_coordinator_requests",
    "Requests handled, by what became of them",
    ("result",),
)
FETCHES = Counter(
    "optimizer_coordinator_fetches",
    "Questions about submitted requests, by how the request stood",
    ("state",),
)
BATCH = Histogram(
    "optimizer_coordinator_batch_size",
    "Requests admitted in one round trip to Redis",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
ADMISSION = Histogram(
    "optimizer_coordinator_admission_seconds",
    "Time from the arrival of a batch to its decisions",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1),
)
BACKEND_ALIVE = Gauge(
    "optimizer_coordinator_backend_alive", "Whether a live worker of the backend was last seen", ("backend",)
)
DEAD_LETTERS = Counter(
    "optimizer_coordinator_dead_letters", "Dead letters that were kept, by why RabbitMQ moved them there", ("why",)
)
DEAD_UNROUTABLE = Counter(
    "optimizer_coordinator_dead_letters_unroutable", "Times that the exchange or queue of dead letters was missing"
)
GATE_WAITING = Gauge("optimizer_coordinator_gate_waiting", "Requests that wait for a quota or for their turn")

# What coordinators see of the whole fleet; all of them tell the same.
BACKEND_WORKERS = Gauge("optimizer_backend_workers", "Live workers of a configured backend", ("backend",))
BACKEND_BLOCKED = Gauge(
    "optimizer_backend_blocked_seconds", "For how long the backend takes no calls, because it said so", ("backend",)
)
BACKEND_PAUSED = Gauge(
    "optimizer_backend_paused", "Whether an operator has paused or drained the backend", ("backend",)
)
BREAKER = Gauge(
    "optimizer_backend_breaker_state", "1 for the state that the circuit breaker is in", ("backend", "state")
)
BUDGET_USED = Gauge(
    "optimizer_budget_used",
    "What calls used or hold of a limit, in its own unit (money in US dollars)",
    ("backend", "limit", "dimension"),
)
BUDGET_LIMIT = Gauge(
    "optimizer_budget_limit", "How much a limit allows in its window", ("backend", "limit", "dimension")
)
QUEUE_MESSAGES = Gauge("optimizer_queue_messages", "Messages in a queue that no process holds", ("queue",))
QUEUE_CONSUMERS = Gauge("optimizer_queue_consumers", "Consumers of a queue", ("queue",))

handled = {result: REQUESTS.labels(result) for result in RESULTS}
fetched = {state: FETCHES.labels(state) for state in (*get_args(State), REDIS_AWAY, NO_STATE)}
# As RabbitMQ names reasons; whatever else a header says is no label.
dead_because = {why: DEAD_LETTERS.labels(why) for why in ("rejected", "expired", "maxlen", "delivery_limit", "other")}
