"""Sliding windows as rings of slots: the arithmetic of `lua/budget.lua`, for what one worker used itself.

A worker keeps this mirror for two occasions: while Redis is away it lives on its share of each limit, and after Redis
lost its memory it writes back what it used. Pure: the fleet's clock (milliseconds) is passed in.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SLOTS = 60
SHARE_WHEN_ALONE = 0.8


@dataclass(frozen=True, slots=True)
class Window:
    """A limit: at most `count` in every `window_ms`."""

    name: str
    count: int
    window_ms: int

    @property
    def slot_ms(self) -> float:
        """The width of a slot; what is used in it counts until it has wholly left the window."""
        return self.window_ms / SLOTS


@dataclass(frozen=True, slots=True)
class Slot:
    """What one worker used of a limit in one slot; `unreported` of it while Redis was away."""

    limit: str
    index: int
    amount: int
    unreported: int


class OwnUse:
    """What this worker used of each limit, and what it holds in flight."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._windows = {window.name: window for window in windows}
        self._slots: dict[str, dict[int, list[int]]] = {name: {} for name in self._windows}
        self._flying: dict[str, dict[str, int]] = {}

    def hold(self, reservation: str, amounts: dict[str, int]) -> None:
        """A call is about to start."""
        self._flying[reservation] = amounts

    def settle(self, reservation: str, counts_at_ms: float | None, *, reported: bool) -> None:
        """A call ended; it counts at the given time, or not at all."""
        amounts = self._flying.pop(reservation, None)
        if amounts is None or counts_at_ms is None:
            return
        for name, amount in amounts.items():
            index = math.floor(counts_at_ms / self._windows[name].slot_ms)
            slot = self._slots[name].setdefault(index, [0, 0])
            slot[0] += amount
            slot[1] += 0 if reported else amount

    def reported(self, told: Iterable[Slot]) -> None:
        """Redis has been told these slots; what was used since is still to be told."""
        for each in told:
            if slot := self._slots[each.limit].get(each.index):
                slot[1] -= each.unreported

    def slots(self, now_ms: float) -> list[Slot]:
        """All slots that still count."""
        return [
            Slot(name, index, slot[0], slot[1])
            for name, window in self._windows.items()
            for index, slot in self._counting(window, now_ms)
        ]

    def flying(self) -> Iterator[tuple[str, str, float, int]]:
        """(reservation, limit, slot_ms, amount) of the calls in flight."""
        for reservation, amounts in self._flying.items():
            for name, amount in amounts.items():
                yield reservation, name, self._windows[name].slot_ms, amount

    def _counting(self, window: Window, now_ms: float) -> list[tuple[int, list[int]]]:
        slots = self._slots[window.name]
        oldest = math.floor((now_ms - window.window_ms) / window.slot_ms)
        for index in [index for index in slots if index < oldest]:
            del slots[index]
        return sorted((i, slot) for i, slot in slots.items() if (i + 1) * window.slot_ms + window.window_ms > now_ms)

    def wait_ms(self, amounts: dict[str, int], workers: int, now_ms: float) -> int:
        """How long until this worker may make a call on its own share, while Redis is away; 0 is now.

        The share of each limit is 0.8 × count ÷ workers last seen (at least one call, or nothing would ever be served).
        """
        return max((self._wait_ms(self._windows[name], a, workers, now_ms) for name, a in amounts.items()), default=0)

    def _wait_ms(self, window: Window, amount: int, workers: int, now_ms: float) -> int:
        share = max(amount, math.floor(SHARE_WHEN_ALONE * window.count / max(1, workers)))
        slots = self._counting(window, now_ms)
        flying = sum(amounts.get(window.name, 0) for amounts in self._flying.values())
        over = sum(slot[0] for _, slot in slots) + flying + amount - share
        if over <= 0:
            return 0
        for index, slot in slots:
            over -= slot[0]
            if over <= 0:
                return math.ceil((index + 1) * window.slot_ms + window.window_ms - now_ms)
        return 100
