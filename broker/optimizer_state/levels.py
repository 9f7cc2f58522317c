"""How a backend stands: what its limits have left, what calls in flight hold, and whether a call may start at all.

Pure: made from a look at the budget. `level_reader.py` does the looking.
"""

from dataclasses import dataclass, field

from optimizer_config.model import Backend, Dimension
from optimizer_state.estimates import Lesson
from optimizer_state.fleet_view import Level, Look
from optimizer_state.grants import BreakerState
from optimizer_state.outlook import Outlook
from optimizer_state.settings import Mode, mode_of
from optimizer_state.windows import Window, windows_of

CONCURRENCY = "concurrency"


@dataclass(frozen=True, slots=True)
class LimitLevel:
    """One limit: `used` counts in its window, `reserved` is held by calls that may not have reached the backend yet.

    `count` is what holds now, `configured` what the configuration says. `frees_ms` is in how many milliseconds the next
    part of what is used leaves the window (None: there is none). Money is in millionths of a US dollar.
    """

    name: str
    dimension: Dimension
    configured: int
    count: int
    used: int = 0
    reserved: int = 0
    frees_ms: int | None = None

    @property
    def left(self) -> int:
        """What calls may still take; negative is a debt of calls that were estimated too low."""
        return self.count - self.used - self.reserved


@dataclass(frozen=True, slots=True)
class Breaker:
    """A backend's circuit breaker: failures that count now, and for how long it stays open."""

    state: BreakerState = "closed"
    failures: int = 0
    open_ms: int = 0


@dataclass(frozen=True, slots=True)
class Levels:
    """One backend, `at_ms` of Redis' clock.

    `concurrency` is reserved by every call in flight. `blocked_ms` is for how long no call may start, because the
    backend said so. `workers` are those alive, `outlook` is what they told last, `learned` what the fleet knows of each
    model.
    """

    backend: str
    at_ms: int
    limits: tuple[LimitLevel, ...]
    concurrency: LimitLevel
    blocked_ms: int = 0
    blocked_reason: str = ""
    breaker: Breaker = Breaker()
    mode: Mode | None = None
    workers: int = 0
    outlook: Outlook | None = None
    learned: dict[str, Lesson] = field(default_factory=dict)


def levels_of(backend: Backend, look: Look) -> Levels:
    """The levels of a backend as a look at its budget shows them."""
    view = look.view
    now_ms = view.seen_ms
    blocked_ms = max(0, view.blocked_until_ms - now_ms)
    return Levels(
        backend=backend.name,
        at_ms=now_ms,
        limits=tuple(limit_level(each, view.levels[each.name], look, now_ms) for each in windows_of(backend.limits)),
        concurrency=LimitLevel(
            CONCURRENCY, "requests", configured=backend.concurrency, count=view.concurrency, reserved=view.calls
        ),
        blocked_ms=blocked_ms,
        blocked_reason=view.blocked_reason if blocked_ms else "",
        breaker=_breaker(backend, look, now_ms),
        mode=mode_of(view.mode),
    )


def limit_level(window: Window, level: Level, look: Look, now_ms: int) -> LimitLevel:
    """The level of one limit as a look shows it."""
    slots = look.slots[window.name]
    leaving = [window.leaves_ms(slot) for slot, used in slots.items() if used and window.counts(slot, now_ms)]
    return LimitLevel(
        window.name,
        window.dimension,
        configured=window.count,
        count=level.count,
        used=level.used - level.flying,
        reserved=level.flying,
        frees_ms=round(min(leaving) - now_ms) if leaving else None,
    )


def _breaker(backend: Backend, look: Look, now_ms: int) -> Breaker:
    since_ms = now_ms - backend.breaker.within_s * 1000
    failures = sum(at > since_ms for at in look.failures)
    return Breaker(look.view.breaker, failures, max(0, look.view.breaker_until_ms - now_ms))
