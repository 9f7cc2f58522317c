"""What the budget scripts are told: their arguments, as the heads of `lua/{reserve,settle,restore}.lua` say them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from optimizer_config.amounts import Remaining
from optimizer_config.model import BreakerSettings
from optimizer_state.grants import Health
from optimizer_state.own_use import Part, Slot
from optimizer_state.scripts import Step
from optimizer_state.windows import Window

Word = str | int


def reserve_step(
    key: str,
    reservation: str,
    windows: Iterable[Window],
    amounts: Mapping[str, int],
    now_ms: float,
    *,
    lease_ms: int,
    worker: str = "",
    concurrency: int = 0,
) -> Step:
    """Reserve `amounts` (by window name; others are left out) in all windows or none.

    Without `worker` nobody needs to have told what he used before; a `concurrency` of 0 is any.
    """
    limits: list[Word] = [
        word for window in windows if window.name in amounts for word in _limit(window, amounts[window.name], now_ms)
    ]
    return Step("reserve", key, [reservation, worker, lease_ms, concurrency, *limits])


def _limit(window: Window, amount: int, now_ms: float) -> tuple[Word, ...]:
    length = 0 if window.reset else window.window_ms
    return (window.name, window.count, amount, length, window.margin_ms, *window.period(now_ms))


class Ending(msgspec.Struct, frozen=True):
    """How a call ended: it was written `written_ago_ms` ago, or `unsent`, or what it used is `told` in slots."""

    written_ago_ms: float | None = None
    told: bool = False
    ended_ago_ms: float = 0.0
    health: Health = "unknown"


def settle_step(
    key: str,
    reservation: str,
    ending: Ending,
    breaker: BreakerSettings,
    used: Mapping[str, int] | None = None,
    said: Iterable[tuple[Window, Remaining]] = (),
) -> Step:
    """Settle a reservation: with what it really used by window, and with what the backend says is left of windows."""
    ago: Word = "unsent" if ending.written_ago_ms is None else round(ending.written_ago_ms)
    real = used or {}
    words: list[Word] = [
        reservation,
        "told" if ending.told else ago,
        round(ending.ended_ago_ms),
        ending.health,
        breaker.failures,
        round(breaker.within_s * 1000),
        round(breaker.open_s * 1000),
        len(real),
        *(word for pair in real.items() for word in pair),
        *(word for window, left in said for word in (window.name, window.count, left.remaining)),
    ]
    return Step("settle", key, words)


def matching(windows: Iterable[Window], remaining: Sequence[Remaining]) -> Iterator[tuple[Window, Remaining]]:
    """Which limits a response's headers speak of: the same dimension over the same time."""
    for window in windows:
        for said in remaining:
            if said.dimension == window.dimension and round(said.per_s * 1000) == window.window_ms:
                yield window, said
                break


class Stops(msgspec.Struct, frozen=True):
    """What stopped calls as a worker last knew; a Redis that lost its memory takes it over."""

    blocked_until_ms: int
    blocked_reason: str
    open_until_ms: int
    settings: Mapping[str, str]


class Telling(msgspec.Struct, frozen=True):
    """What a worker tells of itself: what it used, and what it has in flight. Repeated as it was until it is confirmed.

    `alone` are the calls in flight that were granted without Redis, `ghosts` those that ended without it: what they
    used is in `slots`.
    """

    number: int
    slots: Sequence[Slot]
    parts: Sequence[Part]
    alone: frozenset[str]
    ghosts: frozenset[str]
    stops: Stops

    def step(self, key: str, worker: str, *, lease_ms: int, grace_ms: int, repeated: bool) -> Step:
        """The script that takes it down."""
        stops = self.stops
        words: list[Word] = [
            worker,
            self.number,
            int(repeated),
            lease_ms,
            grace_ms,
            stops.blocked_until_ms,
            stops.blocked_reason,
            stops.open_until_ms,
            len(stops.settings),
            *(word for pair in stops.settings.items() for word in pair),
            len(self.slots),
            *(word for slot in self.slots for word in (slot.limit, slot.index, slot.amount, slot.unreported)),
            *(word for part in self.parts for word in self._part(part)),
        ]
        return Step("restore", key, words)

    def _part(self, part: Part) -> tuple[Word, ...]:
        return (
            part.reservation,
            int(part.reservation in self.alone),
            part.limit,
            repr(part.slot_ms),
            part.amount,
            part.margin_ms,
            part.start_ms,
            part.end_ms,
            part.slot,
            int(part.twice),
        )
