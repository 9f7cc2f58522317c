"""The requests of a client that have no answer yet: when to send one again, when to give up. Pure.

The client is the last line of defence: it alone knows what is unanswered. It sends the same id again when a connection
was lost, and after silence: half of the time that is left, at most 30 s, then doubling. Times are seconds of the
client's own monotonic clock, which alone decides about deadlines.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from optimizer_wire.messages import Request

LONGEST_SILENCE_S = 30.0
SHORTEST_SILENCE_S = 0.5

Token = TypeVar("Token")


@dataclass(slots=True, eq=False)
class Entry(Generic[Token]):
    """One unanswered request. `token` is whatever the client resolves, for example a future."""

    request: Request
    deadline: float
    token: Token
    silence_s: float
    sent: int = 0

    def at(self, now: float) -> Request:
        """The request as it is to be sent now: with the time that is left."""
        left_ms = max(1, int((self.deadline - now) * 1000))
        return msgspec.structs.replace(self.request, timeout_ms=min(left_ms, self.request.timeout_ms))


@dataclass(slots=True)
class Due(Generic[Token]):
    """What is to be done now."""

    expired: list[Entry[Token]] = field(default_factory=list)
    resubmit: list[Entry[Token]] = field(default_factory=list)


class Pending(Generic[Token]):
    """The unanswered requests of one client. `strays` counts late and duplicate replies."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry[Token]] = {}
        self._alarms: list[tuple[float, str]] = []
        self.strays = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[Token]]:
        return iter(list(self._entries.values()))

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._entries

    def add(self, request: Request, token: Token, now: float) -> Entry[Token]:
        """Wait for the answer of a request from now on.

        :raises ValueError: if a request of this id waits already.
        """
        if request.id in self._entries:
            raise ValueError(f"A request with the id {request.id} is on its way already.")
        left_s = request.timeout_ms / 1000
        entry = Entry(request, now + left_s, token, _silence_s(left_s))
        self._entries[request.id] = entry
        heapq.heappush(self._alarms, (min(entry.deadline, now + entry.silence_s), request.id))
        return entry

    def resolve(self, request_id: str) -> Entry[Token] | None:
        """Take the request that a reply belongs to; None for a reply that is late or a duplicate."""
        entry = self._entries.pop(request_id, None)
        if entry is None:
            self.strays += 1
        return entry

    def discard(self, request_id: str) -> Entry[Token] | None:
        """Stop waiting for a request; None if it does not wait."""
        return self._entries.pop(request_id, None)

    def next_alarm(self) -> float | None:
        """When `due` is worth asking; None if nothing waits."""
        while self._alarms and self._alarms[0][1] not in self._entries:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def due(self, now: float) -> Due[Token]:
        """Take what has expired, and tell what is to be sent again after its silence."""
        due: Due[Token] = Due()
        while (alarm := self.next_alarm()) is not None and alarm <= now:
            _, request_id = heapq.heappop(self._alarms)
            entry = self._entries[request_id]
            if entry.deadline <= now:
                del self._entries[request_id]
                due.expired.append(entry)
                continue
            due.resubmit.append(entry)
            entry.silence_s *= 2
            heapq.heappush(self._alarms, (min(entry.deadline, now + entry.silence_s), request_id))
        return due

    def clear(self) -> list[Entry[Token]]:
        """Take everything, for a client that closes."""
        entries, self._entries, self._alarms = list(self._entries.values()), {}, []
        return entries


def _silence_s(left_s: float) -> float:
    return max(SHORTEST_SILENCE_S, min(left_s / 2, LONGEST_SILENCE_S))
