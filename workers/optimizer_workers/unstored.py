"""Ends of flights that Redis does not know yet: it was away when their calls ended.

The one whose call it was has been answered. Others who joined the flight still wait in it, or will, and Redis would
keep them waiting for an owner that has long been done.
"""

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from optimizer_state.answer import Answer
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.messages import Call
from optimizer_workers.link import Link

LOOK_S = 0.25
# Nobody waits for longer, and a long outage must not fill the memory: the oldest go first.
KEEP_S = 15 * 60.0
MOST = 1_000
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _End:
    call: Call
    owner: str
    answer: Answer
    store_ttl_ms: int
    ended: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        return len(bytes(self.answer.result))


class Unstored:
    """Keeps them until Redis is back."""

    def __init__(self, store: Store, flights: Flights, link: Link) -> None:
        self._store = store
        self._flights = flights
        self._link = link
        self._ends: deque[_End] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ends)

    def keep(self, call: Call, owner: str, answer: Answer, *, store_ttl_ms: int) -> None:
        """Keep the end of a call's flight; `owner` is empty if it was never begun there."""
        self._ends.append(end := _End(call, owner, answer, store_ttl_ms))
        self._bytes += end.size
        while len(self._ends) > MOST or self._bytes > MOST_BYTES or self._ends[0].ended < end.ended - KEEP_S:
            self._drop()

    def _drop(self) -> None:
        self._bytes -= self._ends.popleft().size

    async def store(self) -> None:
        """Tell Redis, and those who wait there, as far as Redis and RabbitMQ are there. Never raises."""
        with suppress(RedisAway, BrokerUnavailable):
            while self._ends and not self._store.away:
                await self._store_one(self._ends[0])

    async def _store_one(self, end: _End) -> None:
        ended = await self._flights.complete(end.call, end.owner, end.answer, store_ttl_ms=end.store_ttl_ms)
        known = end.call.waiter
        others = [each for each in ended.waiters if (each.id, each.reply_to) != (known.id, known.reply_to)]
        if others:
            await self._link.outbox.answer(end.answer, others)
        if self._ends and self._ends[0] is end:
            self._drop()
