"""Whether a backend takes calls, in words that name the clock. Pure."""

from optimizer_ops.formatting.moments import clock, until
from optimizer_ops.formatting.units import count_of, duration
from optimizer_ops.live.status import BackendStatus

_SOON_S = 0.05
States = list[tuple[str, str]]


def states(backend: BackendStatus, now: float, *, brief: bool = False) -> States:
    """Everything that stands in the way of a call, the worst first, each with a colour; or that nothing does.

    In brief it says until when, and not also in how long and why.
    """
    if backend.workers is None:
        return [("not known: Redis is away", "yellow")]
    found = [*_stopped(backend, now, brief=brief), *([] if backend.workers else [("no worker runs", "red")])]
    return (found or [_ready(backend, now)]) + _failures(backend)


def _stopped(backend: BackendStatus, now: float, *, brief: bool) -> States:
    when = _briefly if brief else until
    found: States = []
    if backend.mode == "paused":
        found.append(("paused: no call starts", "yellow"))
    if backend.mode == "draining":
        found.append(("draining: takes no new requests", "yellow"))
    if backend.breaker == "open" and backend.breaker_until is not None:
        found.append((f"breaker open {when(backend.breaker_until, now)}", "red"))
    if backend.breaker == "half_open":
        found.append(("breaker half open" if brief else "breaker half open: one call tries", "yellow"))
    if backend.blocked_until is not None:
        why = f": {backend.blocked_reason}" if backend.blocked_reason and not brief else ""
        found.append((f"blocked {when(backend.blocked_until, now)}{why}", "red"))
    return found


def _briefly(at: float, now: float) -> str:
    return f"until {clock(at, now)}"


def _ready(backend: BackendStatus, now: float) -> tuple[str, str]:
    if backend.ready_at is None or backend.ready_at - now <= _SOON_S:
        return "takes calls", "green"
    reason = f" ({backend.waits_for})" if backend.waits_for else ""
    return f"a new call starts in {duration(backend.ready_at - now)}{reason}", "yellow"


def _failures(backend: BackendStatus) -> States:
    failures = backend.breaker_failures if backend.breaker == "closed" else 0
    return [(f"{count_of(failures, 'failure')} of late", "yellow")] if failures else []
