"""A worker's calls in flight, and which of them Redis is to be told have been written. Pure: the clock is passed in."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class _Call:
    reserved_ms: int
    written_ms: int | None = None
    told: bool = False


class Arrivals:
    """Until it is known that a call's request has been written, the call takes its part of every window.

    That matters for calls which last longer than the shortest window: they are told once they are half as old.
    """

    def __init__(self, shortest_ms: int | None) -> None:
        self._half_ms = None if shortest_ms is None else shortest_ms / 2
        self._calls: dict[str, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def begin(self, reservation: str, now_ms: int) -> None:
        """A call was granted."""
        self._calls[reservation] = _Call(now_ms)

    def written(self, reservation: str, now_ms: int) -> bool:
        """A call's request has been written; False if this is known or the call is not."""
        call = self._calls.get(reservation)
        if call is None or call.written_ms is not None:
            return False
        call.written_ms = now_ms
        return True

    def end(self, reservation: str) -> None:
        """A call has ended."""
        self._calls.pop(reservation, None)

    def due(self, now_ms: int) -> dict[str, int]:
        """What Redis is to be told: the reservation, and when its request was written."""
        if self._half_ms is None:
            return {}
        return {
            name: call.written_ms
            for name, call in self._calls.items()
            if call.written_ms is not None and not call.told and now_ms - call.reserved_ms > self._half_ms
        }

    def told(self, reservation: str) -> None:
        """Redis has been told of this one."""
        if call := self._calls.get(reservation):
            call.told = True
