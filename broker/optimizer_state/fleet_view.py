"""What a worker saw of its backend's budget when it last looked: all workers' use, and what stops them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optimizer_state.breaker import state_of
from optimizer_state.grants import BreakerState
from optimizer_state.windows import Window

# What a window has beside its slots (`lua/budget.lua`).
_NO_SLOTS = frozenset({"sum", "until"})


@dataclass(frozen=True, slots=True)
class Level:
    """How much of a limit the whole fleet uses: of `count` (as operators set it), `used` in all, `flying` of that."""

    count: int
    used: int = 0
    flying: int = 0

    @property
    def left(self) -> int:
        """What is left."""
        return max(0, self.count - self.used)


@dataclass(frozen=True, slots=True)
class FleetView:
    """The last look at a backend's budget, at `seen_ms` of the fleet's clock (0: never).

    `mode` is what operators set: empty, `paused` or `draining`. Until `blocked_until_ms` and `breaker_until_ms` no call
    may start; they are in the past if nothing stops them. `calls` of `concurrency` are in flight.
    """

    seen_ms: int = 0
    mode: str = ""
    blocked_until_ms: int = 0
    blocked_reason: str = ""
    breaker: BreakerState = "closed"
    breaker_until_ms: int = 0
    concurrency: int = 0
    calls: int = 0
    levels: dict[str, Level] = field(default_factory=dict)

    @property
    def shut_until_ms(self) -> int:
        """Until when no call starts, because the backend said so or its circuit breaker is open; past means now."""
        return max(self.blocked_until_ms, self.breaker_until_ms if self.breaker == "open" else 0)


@dataclass(frozen=True, slots=True)
class Look:
    """All that `lua/look.lua` tells: whether Redis knows this worker, and besides the view what it is made of."""

    known: bool
    view: FleetView
    settings: dict[str, str]
    slots: dict[str, dict[int, int]]
    failures: tuple[float, ...]
    open_until_ms: int | None


def look_of(reply: Sequence[Any], windows: Sequence[Window], concurrency: int) -> Look:
    """What a look at the budget tells; `concurrency` is the configured one."""
    known, now_ms, settings, gate, failures, calls, flying, *rings = reply
    set_to, stops, flies = _words(settings), _words(gate), _words(flying)
    slots = {
        window.name: {int(slot): int(amount) for slot, amount in _words(ring).items() if slot not in _NO_SLOTS}
        for window, ring in zip(windows, rings, strict=True)
    }
    open_until_ms = int(stops["open"]) if "open" in stops else None
    levels = {}
    for window in windows:
        flown = int(flies.get(window.name, 0))
        used = sum(n for slot, n in slots[window.name].items() if window.counts(slot, now_ms))
        levels[window.name] = Level(int(set_to.get(f"limit:{window.name}", window.count)), used + flown, flown)
    view = FleetView(
        seen_ms=now_ms,
        mode=set_to.get("mode", ""),
        blocked_until_ms=int(stops.get("blocked", 0)),
        blocked_reason=stops.get("reason", ""),
        breaker=state_of(open_until_ms, now_ms),
        breaker_until_ms=open_until_ms or 0,
        concurrency=int(set_to.get("limit:concurrency", concurrency)),
        calls=calls,
        levels=levels,
    )
    failed = tuple(float(at) for at in _words(failures).values())
    return Look(known == 1, view, set_to, slots, failed, open_until_ms)


def _words(pairs: Sequence[bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
