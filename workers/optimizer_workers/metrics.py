"""The metrics of a worker. Labels are bounded: backends, outcomes, limits, and the models that are configured."""

from prometheus_client import Counter, Gauge, Histogram

from optimizer_backends.outcome import Outcome
from optimizer_config.model import Backend

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
OTHER = "other"
HERE, ELSEWHERE = "here", "elsewhere"
BREAKER_STATES = ("closed", "open", "half_open")

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
RETRIES = Counter(
    "optimizer_retries", "Failed calls that go on: here once more, or at another backend", ("backend", "where")
)
MOVED = Counter("optimizer_moved_calls", "Held calls sent to a backend that takes them sooner", ("backend",))
BREAKER_CHANGES = Counter(
    "optimizer_breaker_changes", "Changes of the circuit breaker that this worker caused", ("backend", "state")
)
TOLD_EARLY = Counter(
    "optimizer_told_early", "Calls not made because their answer would have come after the deadline", ("backend",)
)
CONDEMNED = Counter(
    "optimizer_condemned_calls", "Calls that are not started again because they killed their workers", ("backend",)
)


class Meters:
    """The counters of one backend's calls, looked up once. They are there from the start, at 0."""

    def __init__(self, backend: Backend) -> None:
        name = backend.name
        self._calls = {
            (model, outcome): CALLS.labels(name, model, outcome.value)
            for model in (*backend.models, OTHER)
            for outcome in Outcome
        }
        self.seconds = CALL_SECONDS.labels(name)
        self.waited = WAIT_SECONDS.labels(name)
        self.tokens_in, self.tokens_out = TOKENS.labels(name, "input"), TOKENS.labels(name, "output")
        self.cost, self.unpriced = COST.labels(name), UNPRICED.labels(name)
        self.held, self.running = HELD.labels(name), RUNNING.labels(name)
        # What is rare is looked up when it happens.
        for rare in (MOVED, TOLD_EARLY, CONDEMNED):
            rare.labels(name)
        for where in (HERE, ELSEWHERE):
            RETRIES.labels(name, where)
        for state in BREAKER_STATES:
            BREAKER_CHANGES.labels(name, state)

    def called(self, model: str, outcome: Outcome, call_s: float) -> None:
        """A call ended. Models that are not configured are one series."""
        (self._calls.get((model, outcome)) or self._calls[OTHER, outcome]).inc()
        self.seconds.observe(call_s)
