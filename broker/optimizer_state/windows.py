"""Limits as windows of time: sliding ones as rings of slots, fixed ones as periods. The arithmetic of `lua/budget.lua`.

Pure: the fleet's clock (milliseconds) is passed in.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from optimizer_config.amounts import Amounts
from optimizer_config.model import Backend, Dimension, Limit, Reset
from optimizer_state.periods import period

SLOTS = 60
# What counts is the moment a request reaches the backend: so much later than it was written, at the latest.
MARGIN_MS = 250
LEAST_MARGIN_MS = 75
MARGIN_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Window:
    """A limit: at most `count` of a dimension in every `window_ms`, or in each period of `reset`.

    It holds for all models, or for those in `models` together.
    """

    name: str
    count: int
    window_ms: int
    dimension: Dimension = "requests"
    models: tuple[str, ...] = ()
    reset: Reset | None = None

    @property
    def slot_ms(self) -> float:
        """The width of a slot; what is used in it counts until it has wholly left the window. 0: a fixed window."""
        return 0.0 if self.reset else self.window_ms / SLOTS

    @property
    def margin_ms(self) -> int:
        """How long after it was written a request reaches the backend, at the latest."""
        return min(MARGIN_MS, max(LEAST_MARGIN_MS, round(MARGIN_SHARE * self.window_ms)))

    def holds_for(self, model: str) -> bool:
        """Whether calls of this model count."""
        return not self.models or model in self.models

    def period(self, now_ms: float) -> tuple[int, int]:
        """Start and end of the present period of a fixed window; 0, 0 for a sliding one."""
        return period(self.reset, now_ms) if self.reset else (0, 0)

    def slots_of(self, reserved_ms: float, arrives_ms: float) -> tuple[int, ...]:
        """Where a call counts: in one slot; in a fixed window perhaps in the period of its reservation and the next."""
        if not self.reset:
            return (math.floor(arrives_ms / self.slot_ms),)
        start, end = self.period(reserved_ms)
        return (start, end) if arrives_ms >= end else (start,)

    def counts(self, slot: int, now_ms: float) -> bool:
        """Whether what was used in a slot counts now."""
        return self.leaves_ms(slot) > now_ms and (not self.reset or slot <= now_ms)

    def leaves_ms(self, slot: int) -> float:
        """When a slot has wholly left the window."""
        return self.period(slot)[1] if self.reset else (slot + 1) * self.slot_ms + self.window_ms


def windows_of(limits: Iterable[Limit]) -> tuple[Window, ...]:
    """The windows of some limits."""
    return tuple(
        Window(limit.name, limit.count, round(limit.per_s * 1000), limit.dimension, limit.models, limit.reset)
        for limit in limits
    )


def amounts_by_window(windows: Iterable[Window], model: str, amounts: Amounts) -> dict[str, int]:
    """What a call of a model takes of each limit that holds for it."""
    return {window.name: amounts.of(window.dimension) for window in windows if window.holds_for(model)}


def shortest_ms(backend: Backend) -> int | None:
    """The length of a backend's shortest sliding window; None if it has none."""
    return min((window.window_ms for window in windows_of(backend.limits) if not window.reset), default=None)
