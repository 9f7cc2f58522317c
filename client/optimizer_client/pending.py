"""The requests of a client that have no answer yet: when to send one again, when to give up. Pure.

The client is the last line of defence: it alone knows what is unanswered. It sends the same id again when a connection
was lost, and after silence: half of the time that is left, at most 30 s, then doubling. Times are seconds of the
client's own monotonic clock, which alone decides about deadlines.

Rules:

* A request leaves this table exactly once: resolved, refused, discarded, expired or cleared.
* A request that could not even be sent waits for a connection only as long as its patience.
* Once the broker has accepted a copy, a refusal of a later copy says nothing: the first may be answered yet.
* Silence counts from the broker's confirm. A copy without one is on its way still, and a second one could not overtake
  it on the same connection; a connection that confirms nothing is replaced (`confirms.py`), and all is sent again.
* A request with an ordering key names, whenever it is sent, the one before it of its key that is unanswered then.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import msgspec

from optimizer_wire.messages import Fetch, Question, SubmittedRequest

LONGEST_SILENCE_S = 30.0
SHORTEST_SILENCE_S = 0.5

Token = TypeVar("Token")


@dataclass(slots=True, eq=False)
class Entry(Generic[Token]):
    """One unanswered request. `token` is whatever the client resolves, for example a future.

    `resend_at` is when its silence is over, `patience_until` when to give up if it was never sent. `sent` counts the
    copies that were published; `accepted` tells that the broker confirmed one, `confirmed_at` when it last did, and
    `on_its_way` that the newest copy is not confirmed. `trace` is its place in a trace. `before` and `behind` are its
    neighbours among the unanswered requests of its ordering key.
    """

    request: Question
    deadline: float
    token: Token
    silence_s: float
    resend_at: float
    patience_until: float = math.inf
    alarm_at: float = 0.0
    sent: int = 0
    accepted: bool = False
    confirmed_at: float = -math.inf
    on_its_way: bool = False
    trace: str = ""
    before: "Entry[Token] | None" = None
    behind: "Entry[Token] | None" = None

    def at(self, now: float) -> Question:
        """The request as it is to be sent now: with the time that is left, and with what it comes after."""
        timeout_ms = min(max(1, int((self.deadline - now) * 1000)), self.request.timeout_ms)
        if isinstance(self.request, Fetch):
            return msgspec.structs.replace(self.request, timeout_ms=timeout_ms)
        after = None if self.before is None or self.before.submitted != self.submitted else self.before.request.id
        return msgspec.structs.replace(self.request, timeout_ms=timeout_ms, after=after)

    @property
    def submitted(self) -> bool:
        """Whether it is done once the broker has it."""
        return isinstance(self.request, SubmittedRequest)

    @property
    def plain(self) -> bool:
        """Whether it is a request that its sender waits for: it can be cancelled, or go around."""
        return not isinstance(self.request, Fetch | SubmittedRequest)

    def published(self) -> None:
        """Note that a copy goes out."""
        self.sent += 1
        self.on_its_way = True

    def silent_until(self, since: float) -> float:
        """When its silence is over, if that began or went on at `since`: half of the time left then is enough."""
        half_s = max((self.deadline - since) / 2, SHORTEST_SILENCE_S)
        return max(self.resend_at, since + min(self.silence_s, half_s))

    def ends_at(self) -> float:
        """When to give up."""
        return self.deadline if self.sent else min(self.deadline, self.patience_until)


@dataclass(slots=True)
class Due(Generic[Token]):
    """What is to be done now. What has expired with `sent == 0` never found a connection."""

    expired: list[Entry[Token]] = field(default_factory=list)
    resubmit: list[Entry[Token]] = field(default_factory=list)


class Pending(Generic[Token]):
    """The unanswered requests of one client. `strays` counts late and duplicate replies."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry[Token]] = {}
        self._newest: dict[str, Entry[Token]] = {}
        self._alarms: list[tuple[float, str]] = []
        self.strays = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[Token]]:
        return iter(list(self._entries.values()))

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._entries

    def add(self, request: Question, token: Token, now: float, patience_s: float = math.inf) -> Entry[Token]:
        """Wait for the answer of a request from now on; `patience_s` is how long it may stay unsent.

        :raises ValueError: if a request of this id waits already.
        """
        if request.id in self._entries:
            raise ValueError(f"A request with the id {request.id} is on its way already.")
        left_s = request.timeout_ms / 1000
        silence_s = max(SHORTEST_SILENCE_S, min(left_s / 2, LONGEST_SILENCE_S))
        entry = Entry(request, now + left_s, token, silence_s, now + silence_s, now + patience_s)
        self._entries[request.id] = entry
        self._line_up(entry)
        self._set_alarm(entry)
        return entry

    def accepted(self, request_id: str, now: float) -> Entry[Token] | None:
        """Note that the broker has a copy of the request; takes and returns one that was submitted: it is done."""
        entry = self._entries.get(request_id)
        if entry is None:
            return None
        entry.accepted, entry.on_its_way, entry.confirmed_at = True, False, now
        return self._take(request_id) if entry.submitted else None

    def refused(self, request_id: str) -> Entry[Token] | None:
        """Take a request that the broker refused; None if an earlier copy was accepted, or if it does not wait."""
        entry = self._entries.get(request_id)
        if entry is not None and entry.accepted:
            entry.on_its_way = False
            return None
        return self._take(request_id)

    def resolve(self, request_id: str) -> Entry[Token] | None:
        """Take the request that a reply belongs to; None for a reply that is late or a duplicate."""
        entry = self._take(request_id)
        if entry is None:
            self.strays += 1
        return entry

    def discard(self, request_id: str) -> Entry[Token] | None:
        """Stop waiting for a request; None if it does not wait."""
        return self._take(request_id)

    def next_alarm(self) -> float | None:
        """When `due` is worth asking; None if nothing waits."""
        while self._alarms and not self._is_set(*self._alarms[0]):
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def due(self, now: float) -> Due[Token]:
        """Take what has expired, and tell what is to be sent again after its silence."""
        due: Due[Token] = Due()
        while (alarm := self.next_alarm()) is not None and alarm <= now:
            _, request_id = heapq.heappop(self._alarms)
            entry = self._entries[request_id]
            if entry.ends_at() <= now:
                self._take(request_id)
                due.expired.append(entry)
                continue
            entry.resend_at = entry.silent_until(now if entry.on_its_way else entry.confirmed_at)
            if entry.resend_at <= now:
                due.resubmit.append(entry)
                entry.silence_s *= 2
                entry.resend_at = now + entry.silence_s
            self._set_alarm(entry)
        return due

    def clear(self) -> list[Entry[Token]]:
        """Take everything, for a client that closes."""
        entries, self._entries, self._alarms = list(self._entries.values()), {}, []
        self._newest = {}
        return entries

    def _take(self, request_id: str) -> Entry[Token] | None:
        entry = self._entries.pop(request_id, None)
        if entry is not None:
            self._step_out(entry)
        return entry

    def _line_up(self, entry: Entry[Token]) -> None:
        key = entry.request.ordering_key
        if key:
            entry.before = self._newest.get(key)
            if entry.before is not None:
                entry.before.behind = entry
            self._newest[key] = entry

    def _step_out(self, entry: Entry[Token]) -> None:
        before, behind, key = entry.before, entry.behind, entry.request.ordering_key
        if before is not None:
            before.behind = behind
        if behind is not None:
            behind.before = before
        elif key and before is not None:
            self._newest[key] = before
        elif key:
            del self._newest[key]

    def _set_alarm(self, entry: Entry[Token]) -> None:
        entry.alarm_at = min(entry.ends_at(), entry.resend_at)
        heapq.heappush(self._alarms, (entry.alarm_at, entry.request.id))

    def _is_set(self, alarm: float, request_id: str) -> bool:
        """Whether an alarm still counts: its request waits, and is not a later one that took over the id."""
        entry = self._entries.get(request_id)
        return entry is not None and entry.alarm_at == alarm
