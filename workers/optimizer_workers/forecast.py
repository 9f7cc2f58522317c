"""When held calls can start, by the limit that is used up. Pure.

What has been used leaves the window at times that Redis tells; what starts at t leaves it at t + window. The calls are
taken in the order of service, none before the one ahead of it. From this come two answers: the earliest possible start
(this worker gets everything that becomes free, and what is in flight gives all back), a bound that is sure as long as
the order holds and costs are not less than assumed; and the expected one (the workers share evenly).
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapreplace


@dataclass(frozen=True, slots=True)
class Supply:
    """What a backend gives from now on; times in ms from now.

    Nothing starts before `closed_ms`. A limit of `count` in each `window_ms` (`count` None: no limit binds), of which
    `frees` leaves the window: (in how many ms, how much), soonest first. A fixed window ends in `reset_in_ms`. At most
    `concurrency` calls at once (None: it does not bind), of which each takes `call_ms`.
    """

    closed_ms: int = 0
    count: int | None = None
    window_ms: int = 0
    frees: Sequence[tuple[int, int]] = ()
    reset_in_ms: int | None = None
    concurrency: int | None = None
    call_ms: int = 0


class _Window:
    """What a limit still gives: at which times how much in all will have left its window."""

    def __init__(self, supply: Supply, *, in_flight_ms: int) -> None:
        self._supply = supply
        self._count = max(1, supply.count or 0)
        # A little more than a window may be told, for what counts a little later than it was sent.
        latest_ms = self._leaves(0)
        leaving = [(min(in_ms, latest_ms), amount) for in_ms, amount in supply.frees]
        in_flight = max(0, self._count - sum(amount for _, amount in leaving))
        self._times: list[int] = []
        self._freed: list[int] = []
        for in_ms, amount in sorted([*leaving, (min(in_flight_ms, latest_ms), in_flight)]):
            self._add(in_ms, amount)
        self._taken = self._freed[-1] - self._count

    def at_ms(self, cost: int) -> int:
        """When so much is free; more than there is at all waits for an empty window."""
        if self._supply.count is None:
            return 0
        return self._times[bisect_left(self._freed, self._taken + min(cost, self._count))]

    def take(self, cost: int, at_ms: int) -> None:
        """A call starts."""
        if self._supply.count is not None:
            self._taken += min(cost, self._count)
            self._add(self._leaves(at_ms), min(cost, self._count))

    def _add(self, at_ms: int, amount: int) -> None:
        self._times.append(at_ms)
        self._freed.append((self._freed[-1] if self._freed else 0) + amount)

    def _leaves(self, at_ms: int) -> int:
        reset_ms = self._supply.reset_in_ms
        if reset_ms is None:
            return at_ms + self._supply.window_ms
        periods = 0 if at_ms < reset_ms else (at_ms - reset_ms) // self._supply.window_ms + 1
        return reset_ms + periods * self._supply.window_ms


class Line:
    """The calls of one worker, one after another, for looking at each before deciding whether it stays in line."""

    def __init__(self, supply: Supply, *, workers: int = 1, in_flight_ms: int = 0) -> None:
        self._window = _Window(supply, in_flight_ms=in_flight_ms)
        self._call_ms = supply.call_ms
        self._last_ms = supply.closed_ms
        self._workers = workers
        self._slots = None if supply.concurrency is None else [0] * max(1, supply.concurrency // workers)

    @classmethod
    def earliest(cls, supply: Supply) -> "Line":
        """For sure bounds: this worker gets everything. The supply's `call_ms` is the least that a call takes."""
        return cls(supply)

    @classmethod
    def expected(cls, supply: Supply, workers: int) -> "Line":
        """For what is probable if so many workers share evenly. `call_ms` is what a call usually takes.

        What is neither free nor leaving is in flight: it leaves the window as if it were half done.
        """
        return cls(supply, workers=workers, in_flight_ms=max(0, supply.window_ms - supply.call_ms // 2))

    def start_ms(self, cost: int) -> int:
        """In how many ms a call of this cost could start as the next."""
        slot_ms = 0 if self._slots is None else self._slots[0]
        return max(self._last_ms, self._window.at_ms(cost * self._workers), slot_ms)

    def start(self, cost: int) -> int:
        """It is the next."""
        at_ms = self.start_ms(cost)
        self._window.take(cost * self._workers, at_ms)
        if self._slots is not None:
            heapreplace(self._slots, at_ms + self._call_ms)
        self._last_ms = at_ms
        return at_ms


def per_call_ms(cost: int, supply: Supply, workers: int) -> int:
    """How long each further call of this cost takes in the long run, if so many workers share evenly."""
    by_limit = supply.window_ms * cost / supply.count if supply.count else 0
    by_slots = supply.call_ms / supply.concurrency if supply.concurrency else 0
    return round(max(by_limit, by_slots) * workers)
