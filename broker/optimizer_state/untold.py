"""What one worker used and holds, and what of that Redis does not know yet. Pure: the fleet's clock is passed in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from optimizer_state.budget_steps import Ending, Stops, Telling
from optimizer_state.grants import Health
from optimizer_state.own_use import OwnUse
from optimizer_state.windows import Window


@dataclass(frozen=True, slots=True)
class _Ghost:
    """A reservation that ended without Redis, which may hold it."""

    ended_ms: int
    health: Health


class Untold:
    """What is to be told when Redis is back, or after it lost its memory.

    `block` is one that Redis does not know of: until when, and why.
    """

    def __init__(self, windows: Iterable[Window]) -> None:
        self._own = OwnUse(windows)
        self._alone: set[str] = set()
        self._ghosts: dict[str, _Ghost] = {}
        self._pending: Telling | None = None
        self._number = 0
        self.block: tuple[int, str] | None = None
        self.must_tell = False

    def hold(self, reservation: str, amounts: Mapping[str, int], now_ms: int, *, alone: bool) -> None:
        """A call was granted, by Redis or without it."""
        self._ghosts.pop(reservation, None)
        self._own.hold(reservation, amounts, now_ms)
        if alone:
            self._alone.add(reservation)
            self.must_tell = True

    def is_alone(self, reservation: str) -> bool:
        """Whether Redis does not hold this call in flight."""
        return reservation in self._alone

    def arrive(self, reservation: str, written_ms: float) -> None:
        """Redis was told that a call's request has been written."""
        self._own.arrive(reservation, written_ms, reported=True)

    def settle(
        self,
        reservation: str,
        written_ms: float | None,
        now_ms: int,
        used: Mapping[str, int] | None,
        *,
        reported: bool,
    ) -> None:
        """A call ended; `reported` if Redis took it down."""
        self._own.settle(reservation, written_ms, now_ms, used, reported=reported)
        self.must_tell = self.must_tell or not reported

    def ghost(self, reservation: str, now_ms: int, health: Health = "unknown") -> None:
        """A reservation ended, and Redis may hold it all the same."""
        self._alone.discard(reservation)
        self._ghosts[reservation] = _Ghost(now_ms, health)
        self.must_tell = True

    def forgive(self) -> None:
        """The breaker closed meanwhile: failures before that need not be told."""
        self._ghosts = {name: _Ghost(ghost.ended_ms, "unknown") for name, ghost in self._ghosts.items()}

    def endings(self, telling: Telling, now_ms: int) -> dict[str, Ending]:
        """How the reservations ended that Redis may hold, as far as what they used is in this telling."""
        return {
            name: Ending(told=True, ended_ago_ms=max(0, now_ms - ghost.ended_ms), health=ghost.health)
            for name, ghost in self._ghosts.items()
            if name in telling.ghosts
        }

    def telling(self, stops: Stops, now_ms: int) -> tuple[Telling, bool]:
        """What is to be told; and whether it has been told before, but nobody knows whether it was understood."""
        if self._pending is not None:
            return self._pending, True
        # Larger than any number of a process that bore the same name.
        self._number = max(self._number + 1, now_ms * 1000)
        self._pending = Telling(
            self._number,
            tuple(self._own.slots(now_ms)),
            tuple(self._own.parts()),
            frozenset(self._alone),
            frozenset(self._ghosts),
            stops,
        )
        return self._pending, False

    def withdraw(self) -> None:
        """Redis was not told in the end, or lost its memory since: all is to be told anew."""
        self._pending = None

    def confirmed(self, telling: Telling, endings: Iterable[str], now_ms: int) -> None:
        """Redis has taken this down. What came up meanwhile is told next time."""
        self._pending = None
        self._own.reported(telling.slots)
        self._alone -= telling.alone
        for name in endings:
            self._ghosts.pop(name, None)
        left = any(slot.unreported for slot in self._own.slots(now_ms))
        self.must_tell = bool(left or self._alone or self._ghosts or self.block)
