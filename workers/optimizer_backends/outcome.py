"""How a call ended: a closed set, and what follows from each."""

from enum import StrEnum


class Outcome(StrEnum):
    """How a call to a backend ended."""

    answered = "answered"
    throttled = "throttled"
    ramp = "ramp"
    quota_day = "quota_day"
    billing = "billing"
    overloaded = "overloaded"
    transient = "transient"
    timed_out = "timed_out"
    context_too_long = "context_too_long"
    invalid = "invalid"
    unknown_model = "unknown_model"
    unauthorized = "unauthorized"
    content_filtered = "content_filtered"
    cancelled = "cancelled"

    @property
    def ok(self) -> bool:
        """Whether there is an answer."""
        return self is Outcome.answered

    @property
    def counts_for_breaker(self) -> bool:
        """Whether it says that the backend is ill, rather than that we asked too much or wrongly."""
        return self in _ILL

    @property
    def failover(self) -> bool:
        """Whether another backend may mend it."""
        return self not in _FINAL

    @property
    def rate_only(self) -> bool:
        """Whether the backend refused the call only for its rate: it is well, and would take it later."""
        return self in _SLOW_DOWN

    @property
    def retry_here(self) -> bool:
        """Whether the same backend may mend it after a pause."""
        return self in _PASSING

    @property
    def error_code(self) -> str:
        """The wire code of the error that the caller gets if nothing mends it; empty for an answer."""
        return _CODES.get(self, "backend_unavailable")


_ILL = frozenset({Outcome.overloaded, Outcome.transient, Outcome.timed_out})
_SLOW_DOWN = frozenset({Outcome.throttled, Outcome.ramp})
_PASSING = _ILL | _SLOW_DOWN
_FINAL = frozenset({Outcome.answered, Outcome.invalid, Outcome.content_filtered, Outcome.cancelled})
_CODES = {
    Outcome.answered: "",
    Outcome.context_too_long: "context_too_long",
    Outcome.invalid: "invalid_request",
    Outcome.unknown_model: "unknown_model",
    Outcome.unauthorized: "unauthorized",
    Outcome.content_filtered: "content_filtered",
    Outcome.cancelled: "cancelled",
}
