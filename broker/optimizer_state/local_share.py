"""A worker's share of each limit while Redis is away.

What the whole fleet had used when it was last looked at is taken off 0.8 of each limit, the rest is divided by the
workers last seen, and each lives on its part. A worker that never saw Redis reckons with the most workers that the
configuration allows. After a 429 the share is halved, and creeps back. Pure: the fleet's clock is passed in.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping

from optimizer_state.fleet_view import Look
from optimizer_state.own_use import OwnUse
from optimizer_state.windows import Window

SHARE_WHEN_ALONE = 0.8
CREEP_MS = 100_000
# A look may not have seen what was granted this much before it.
OVERLAP_MS = 50


class LocalShare:
    """What this worker may use on its own."""

    def __init__(self, windows: tuple[Window, ...], max_workers: int) -> None:
        self._windows = {window.name: window for window in windows}
        self._max_workers = max(1, max_workers)
        self._look: Look | None = None
        self._fleet: dict[str, dict[int, int]] = {}
        self._since = OwnUse(windows)
        self._factor, self._factor_ms = 1.0, 0.0

    def reckoned(self, workers: int) -> int:
        """By how many workers a limit is divided: those last seen, or the most there may be if Redis never was."""
        return max(1, workers) if self._look else self._max_workers

    def hold(self, reservation: str, amounts: Mapping[str, int], now_ms: float) -> None:
        """A call is about to start."""
        self._since.hold(reservation, amounts, now_ms)

    def written(self, reservation: str, now_ms: float) -> None:
        """The request of a call in flight has been written."""
        self._since.arrive(reservation, now_ms, reported=True)

    def settle(self, reservation: str, written_ms: float | None, now_ms: float, used: Mapping[str, int] | None) -> None:
        """A call ended."""
        self._since.settle(reservation, written_ms, now_ms, used, reported=True)

    def learn(self, look: Look) -> None:
        """Redis was looked at: what this worker used before is in what the fleet used."""
        self._look = look
        self._factor = 1.0
        self._fleet = {name: self._fleet_use(window, look) for name, window in self._windows.items()}
        self._since = self._since.since(look.view.seen_ms - OVERLAP_MS)

    def _fleet_use(self, window: Window, look: Look) -> dict[int, int]:
        """What was in flight then is taken as arrived soon after."""
        use = dict(look.slots.get(window.name, {}))
        seen_ms, level = look.view.seen_ms, look.view.levels.get(window.name)
        for slot in window.slots_of(seen_ms, seen_ms + window.margin_ms) if level and level.flying else ():
            use[slot] = use.get(slot, 0) + level.flying if level else 0
        return use

    def throttled(self, now_ms: float) -> None:
        """The backend refused a call for its rate: live on half."""
        self._factor, self._factor_ms = self.factor(now_ms) / 2, now_ms

    def factor(self, now_ms: float) -> float:
        """The part of the share that is used after refusals; it creeps back to 1."""
        return 1.0 if self._factor == 1.0 else min(1.0, self._factor + max(0.0, now_ms - self._factor_ms) / CREEP_MS)

    def wait_ms(self, amounts: Mapping[str, int], workers: int, now_ms: float) -> int:
        """How long until this worker may make a call on its own; 0 is now."""
        return max((self._wait_ms(self._windows[n], a, workers, now_ms) for n, a in amounts.items()), default=0)

    def _wait_ms(self, window: Window, amount: int, workers: int, now_ms: float) -> int:
        if self._fits(window, amount, workers, now_ms, now_ms):
            return 0
        slots = {*self._fleet.get(window.name, {}), *self._since.used(window.name, now_ms)}
        times = sorted({window.leaves_ms(slot) for slot in slots})
        first = bisect_left(times, True, key=lambda at: self._fits(window, amount, workers, at, now_ms))
        return max(1, math.ceil(times[first] - now_ms)) if first < len(times) else 100

    def _fits(self, window: Window, amount: int, workers: int, at_ms: float, now_ms: float) -> bool:
        level = self._look.view.levels.get(window.name) if self._look else None
        count = level.count if level else window.count
        workers = self.reckoned(workers)
        usable = count * (SHARE_WHEN_ALONE if self._look else 1.0)
        amount = min(amount, max(count, 1))
        mine = _counting(window, self._since.used(window.name, now_ms), at_ms) + self._since.flying(window.name)
        fleet = _counting(window, self._fleet.get(window.name, {}), at_ms)
        part = self.factor(now_ms) / workers
        if usable * part >= amount:
            return mine + amount <= (usable - fleet) * part
        # A share of less than one call would never be served: one at a time, where all that was used leaves room.
        return mine == 0 and fleet + amount <= count


def _counting(window: Window, slots: Mapping[int, int], at_ms: float) -> int:
    return sum(amount for slot, amount in slots.items() if window.counts(slot, at_ms))
