"""What one worker used of each limit itself, and what it holds in flight: a mirror of its part of the budget in Redis.

A worker keeps it for two occasions: while Redis is away it lives on its share of each limit, and after Redis lost its
memory it writes back what it used. Pure: the fleet's clock (milliseconds) is passed in.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from optimizer_state.windows import Window


@dataclass(frozen=True, slots=True)
class Slot:
    """What one worker used of a limit in one slot; `unreported` of it is not known to Redis."""

    limit: str
    index: int
    amount: int
    unreported: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a call in flight takes of one limit, as the scripts keep it; `slot` is 0 while it has not arrived."""

    reservation: str
    limit: str
    slot_ms: float
    amount: int
    margin_ms: int
    start_ms: int
    end_ms: int
    slot: int
    twice: bool


@dataclass(slots=True)
class _Held:
    at_ms: float
    amounts: Mapping[str, int]
    slots: dict[str, tuple[int, ...]] = field(default_factory=dict)


class OwnUse:
    """What this worker used of each limit, and what it holds in flight."""

    def __init__(self, windows: Iterable[Window]) -> None:
        self._windows = {window.name: window for window in windows}
        self._slots: dict[str, dict[int, list[int]]] = {name: {} for name in self._windows}
        self._held: dict[str, _Held] = {}

    def hold(self, reservation: str, amounts: Mapping[str, int], now_ms: float) -> None:
        """A call is about to start."""
        self._held[reservation] = _Held(now_ms, amounts)

    def arrive(self, reservation: str, written_ms: float, *, reported: bool) -> None:
        """The request of a call in flight was written at that time: from now on it counts, and does not fly."""
        held = self._held.get(reservation)
        if held is None or held.slots:
            return
        for name, amount in held.amounts.items():
            window = self._windows[name]
            held.slots[name] = window.slots_of(held.at_ms, written_ms + window.margin_ms)
            self._use(name, held.slots[name], amount, reported=reported)

    def settle(
        self,
        reservation: str,
        written_ms: float | None,
        now_ms: float,
        used: Mapping[str, int] | None = None,
        *,
        reported: bool,
    ) -> None:
        """A call ended; its request was written at that time, or never. `used` is what it really took."""
        held = self._held.pop(reservation, None)
        if held is None:
            return
        for name, amount in held.amounts.items():
            real = (used or {}).get(name, amount) if written_ms is not None else 0
            if name in held.slots:
                self._use(name, held.slots[name], real - amount, reported=reported)
            elif written_ms is not None:
                window = self._windows[name]
                arrived_ms = min(written_ms + window.margin_ms, now_ms)
                self._use(name, window.slots_of(held.at_ms, arrived_ms), real, reported=reported)

    def _use(self, name: str, slots: Iterable[int], amount: int, *, reported: bool) -> None:
        for index in slots if amount else ():
            slot = self._slots[name].setdefault(index, [0, 0])
            slot[0] += amount
            slot[1] += 0 if reported else amount

    def reported(self, told: Iterable[Slot]) -> None:
        """Redis has been told these slots; what was used since is still to be told."""
        for each in told:
            if slot := self._slots[each.limit].get(each.index):
                slot[1] -= each.unreported

    def slots(self, now_ms: float) -> list[Slot]:
        """All slots that still count, or will."""
        return [
            Slot(name, index, slot[0], slot[1])
            for name in self._windows
            for index, slot in sorted(self._kept(name, now_ms).items())
        ]

    def used(self, name: str, now_ms: float) -> dict[int, int]:
        """What counts of one limit now, by slot, without what is in flight."""
        window = self._windows[name]
        return {index: slot[0] for index, slot in self._kept(name, now_ms).items() if window.counts(index, now_ms)}

    def flying(self, name: str) -> int:
        """What calls hold of one limit that may not have arrived."""
        return sum(held.amounts.get(name, 0) for held in self._held.values() if not held.slots)

    def since(self, since_ms: float) -> "OwnUse":
        """Only the calls in flight that were reserved since."""
        recent = OwnUse(self._windows.values())
        recent._held = {name: held for name, held in self._held.items() if held.at_ms >= since_ms}
        for held in recent._held.values():
            for name, slots in held.slots.items():
                recent._use(name, slots, held.amounts[name], reported=True)
        return recent

    def parts(self) -> Iterator[Part]:
        """What the calls in flight hold; of one that takes no limit at all a part of none, named "", since it counts
        as a call all the same.
        """
        for reservation, held in self._held.items():
            if not held.amounts:
                yield Part(reservation, "", 0.0, 0, 0, 0, 0, 0, False)
            for name, amount in held.amounts.items():
                window, slots = self._windows[name], held.slots.get(name, ())
                start_ms, end_ms = window.period(held.at_ms)
                slot, twice = (slots[0] if slots else 0), len(slots) > 1
                yield Part(reservation, name, window.slot_ms, amount, window.margin_ms, start_ms, end_ms, slot, twice)

    def _kept(self, name: str, now_ms: float) -> dict[int, list[int]]:
        window, slots = self._windows[name], self._slots[name]
        for index in [index for index in slots if window.leaves_ms(index) <= now_ms]:
            del slots[index]
        return slots
