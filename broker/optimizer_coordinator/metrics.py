"""The metrics of a coordinator."""

from prometheus_client import Counter, Gauge, Histogram

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
REDIS_UP = Gauge("optimizer_coordinator_redis_up", "Whether Redis answered when last asked")
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
