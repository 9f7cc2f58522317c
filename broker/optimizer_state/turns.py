"""Turns in Redis: requests with the same ordering key run one after another, across coordinators and workers.

Thin typed shell over `lua/turn_{take,keep,leave}.lua`, where the rules are:

* One request of a key has the turn, from when it took it until it leaves, at the latest half a second after its
  deadline. Whatever dies, a turn is lost for no longer.
* The others follow in the order of their arrival, but none before the one that it comes after (`Request.after`). One
  that has not arrived is waited for, for two seconds at most: it may never have been published.
* What ends without a turn of its own (a hit, a joined call, a cancelled one) leaves, so that nobody waits for it.
* One that supersedes takes the place of all older ones of its RabbitMQ user that wait; of the one that has the turn
  only its coordinator can tell whether its call has begun (`Flights.withdraw`).
* A Redis that forgot everything is told again: by those who wait, of their places, and by the worker of a running call
  that it has the turn. A call that was published but had not begun may then meet the next one.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from optimizer_state.scripts import Step
from optimizer_state.store import RedisAway, Store
from optimizer_wire.messages import Call, Waiter

TELL_AGAIN_S = 1.0
KEEP_S = 0.25
_encoder = msgspec.msgpack.Encoder()
_waiters = msgspec.msgpack.Decoder(Waiter)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a request of an ordering key says of itself. `fingerprint` names the flight that it is in."""

    key: str
    waiter: Waiter
    fingerprint: str
    after: str | None = None
    supersede: bool = False


@dataclass(frozen=True, slots=True)
class Older:
    """The flight and the waiter of a request that has the turn and is to be withdrawn, unless its call has begun."""

    fingerprint: str
    waiter: Waiter


@dataclass(frozen=True, slots=True)
class Waits:
    """Not yet: `before` others come first. `place` is for a Redis that forgets."""

    place: int
    before: int
    older: Older | None = None


class Go:
    """It has the turn."""


class Superseded:
    """A newer request took its place."""


Taken = Go | Superseded | Waits


def _name(waiter: Waiter, request_id: str | None = None) -> str:
    """How a request, or another one of its sender, is named in its line: two agents may choose the same id."""
    return f"{request_id or waiter.id}\n{waiter.reply_to}"


def taken(reply: Sequence[Any]) -> Taken:
    """What Redis says to one that asks for its turn."""
    match reply[0]:
        case b"go":
            return Go()
        case b"superseded":
            return Superseded()
    _, place, before, *held = reply
    older = Older(held[0].decode(), _waiters.decode(held[1])) if held else None
    return Waits(int(place), int(before), older)


class Turns:
    """The turns of one deployment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owed: set[asyncio.Task[None]] = set()
        self._running: dict[str, Call] = {}
        self._keeping: asyncio.Task[None] | None = None

    def line(self, tenant: str, key: str) -> str:
        """The base of the Redis keys of an ordering key."""
        return f"{self._store.prefix}:{{turn:{tenant}:{blake2b(key.encode(), digest_size=16).hexdigest()}}}"

    def take(self, turn: Turn, place: int = 0) -> Step:
        """Ask for a turn; to be repeated twice a second or more, until `taken` says what has become of it.

        `place` is what the last reply said, if there was one.
        """
        waiter = turn.waiter
        arguments = (
            _name(waiter),
            _name(waiter, turn.after) if turn.after else "",
            waiter.deadline_ms,
            int(turn.supersede),
            turn.fingerprint,
            _encoder.encode(waiter),
            place,
        )
        return Step("turn_take", self.line(waiter.tenant, turn.key), arguments)

    async def leave(self, key: str, waiter: Waiter, *, after: str | None = None, only_waiting: bool = False) -> None:
        """A request needs its turn no more: it has ended, or it will not run.

        With `only_waiting` one that has the turn keeps it. While Redis is away this is owed, until the request's
        deadline.
        """
        step = self._leave_step(key, waiter, after, only_waiting=only_waiting)
        try:
            await self._store.run([step])
        except RedisAway:
            task = asyncio.ensure_future(self._tell_later(step, waiter.deadline_ms))
            self._owed.add(task)
            task.add_done_callback(self._owed.discard)

    def begin(self, call: Call) -> None:
        """A call begins: while it runs, a Redis that forgets everything is told that it has the turn."""
        if call.ordering_key:
            self._running[_name(call.waiter)] = call
            self._keeping = self._keeping or asyncio.ensure_future(self._keep())

    async def end(self, call: Call) -> None:
        """A call has ended for good: the next request of its ordering key may run. Never raises."""
        if call.ordering_key:
            self._running.pop(_name(call.waiter), None)
            await self.leave(call.ordering_key, call.waiter)

    def _leave_step(self, key: str, waiter: Waiter, after: str | None, *, only_waiting: bool) -> Step:
        arguments = (_name(waiter), _name(waiter, after) if after else "", int(only_waiting))
        return Step("turn_leave", self.line(waiter.tenant, key), arguments)

    async def _keep(self) -> None:
        try:
            while self._running:
                with suppress(RedisAway):
                    await self._store.run([self._keep_step(call) for call in self._running.values()])
                await asyncio.sleep(KEEP_S)
                now_ms = self._store.clock.now_ms()
                self._running = {name: call for name, call in self._running.items() if call.waiter.deadline_ms > now_ms}
        finally:
            self._keeping = None

    def _keep_step(self, call: Call) -> Step:
        waiter = call.waiter
        line = self.line(waiter.tenant, call.ordering_key or "")
        return Step("turn_keep", line, (_name(waiter), waiter.deadline_ms))

    async def _tell_later(self, step: Step, until_ms: int) -> None:
        while self._store.clock.now_ms() < until_ms:
            await asyncio.sleep(TELL_AGAIN_S)
            with suppress(RedisAway):
                await self._store.run([step])
                return
