"""The metrics of a worker. Labels are bounded: backends, outcomes, and the models that are configured."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)

CALLS = Counter("optimizer_calls", "Upstream calls, by how they ended", ("backend", "model", "outcome"))
CALL_SECONDS = Histogram("optimizer_call_duration_seconds", "Time of upstream calls", ("backend",), buckets=_SECONDS)
WAIT_SECONDS = Histogram(
    "optimizer_queue_wait_seconds", "Time from a request's admission to its call", ("backend",), buckets=_SECONDS
)
TOKENS = Counter("optimizer_tokens", "Tokens used", ("backend", "direction"))
COST = Counter("optimizer_cost_usd", "Money spent on calls whose price is known, in US dollars", ("backend",))
UNPRICED = Counter("optimizer_unpriced_calls", "Answered calls whose price is not known", ("backend",))
HELD = Gauge("optimizer_held_calls", "Calls held and not begun", ("backend",))
RUNNING = Gauge("optimizer_running_calls", "Upstream calls on their way", ("backend",))
BUDGET_WAITS = Counter("optimizer_budget_waits", "Times that calls had to wait for budget", ("backend", "limit"))
TOLD_EARLY = Counter(
    "optimizer_told_early", "Calls not made because their answer would have come after the deadline", ("backend",)
)
CONDEMNED = Counter(
    "optimizer_condemned_calls", "Calls that are not started again because they killed their workers", ("backend",)
)
REDIS_UP = Gauge("optimizer_worker_redis_up", "Whether Redis answered when last asked", ("backend",))
