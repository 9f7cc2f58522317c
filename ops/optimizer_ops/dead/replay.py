"""Sending a dead letter back to where it came from, with a fresh deadline."""

import msgspec

from optimizer_coordinator.sending_back import RECEIVED, SENDER
from optimizer_service.outbox import publish_call
from optimizer_state.flights import Flights, flight_by_chance
from optimizer_state.store import Store
from optimizer_wire.calls import understood
from optimizer_wire.channel import Channel
from optimizer_wire.dead_letters import DeadLetter
from optimizer_wire.errors import OptimizerError
from optimizer_wire.frames import Properties
from optimizer_wire.ids import new_id
from optimizer_wire.messages import CALL_TYPE, CONTENT_TYPE, REQUEST_TYPE, SUBMIT_TYPE
from optimizer_wire.topology import Names


class CannotReplay(Exception):
    """There is nothing in the letter that could be sent again; the message says why."""


class Replay:
    """Replays as the RabbitMQ user `user`: only if that is the coordinators' do they believe it who asked first."""

    def __init__(self, channel: Channel, names: Names, store: Store, user: str, timeout_s: float) -> None:
        self._channel = channel
        self._names = names
        self._flights = Flights(store)
        self._clock = store.clock
        self._user = user
        self._timeout_ms = round(timeout_s * 1000)

    async def send(self, letter: DeadLetter) -> str:
        """Publish a letter again, with a confirm; returns a sentence on where its answer will be.

        :raises CannotReplay: if that makes no sense.
        :raises Unroutable, Refused, Unconfirmed: if RabbitMQ does not have it.
        :raises RedisAway: if Redis is away.
        """
        if letter.kind == CALL_TYPE:
            return await self._call(letter)
        if letter.kind in {REQUEST_TYPE, SUBMIT_TYPE}:
            return await self._request(letter)
        raise CannotReplay(f"A message of the type {letter.kind or 'unknown'} cannot be replayed.")

    async def _request(self, letter: DeadLetter) -> str:
        """A request of a known user goes as a submitted one: nobody listens any more, and its answer is kept."""
        submit = bool(letter.user)
        headers = {RECEIVED: str(self._clock.now_ms()), SENDER: letter.user} if submit else None
        written = Properties(
            SUBMIT_TYPE if submit else REQUEST_TYPE,
            letter.request_id or new_id(),
            CONTENT_TYPE,
            True,
            None if submit else letter.reply_to or None,
            self._timeout_ms,
            self._user if submit else None,
            letter.agent or None,
            headers,
        )
        body = _with_timeout(letter.body, self._timeout_ms)
        await self._channel.publish_confirmed(self._names.requests, self._names.requests, body, written)
        if submit:
            return f"replayed as the request {letter.request_id}: {letter.user} can fetch its answer for 15 minutes"
        return f"replayed as the request {letter.request_id}: it is answered to its reply queue, if that still exists"

    async def _call(self, letter: DeadLetter) -> str:
        """A call goes under a new id: who waited for it was told, and Redis still knows what."""
        try:
            call = understood(letter.kind, letter.body)
        except OptimizerError as error:
            raise CannotReplay(f"No worker can read it: {error.message}") from None
        await self._flights.forgive(call.fingerprint)
        now_ms = self._clock.now_ms()
        waiter = msgspec.structs.replace(
            call.waiter, id=new_id(), since_ms=now_ms, deadline_ms=now_ms + self._timeout_ms
        )
        fresh = msgspec.structs.replace(
            call,
            waiter=waiter,
            flight=flight_by_chance(),
            number=1,
            hop=0,
            attempts=0,
            failed=(),
            moved_from=None,
            deliveries=0,
        )
        await publish_call(self._channel, self._names, fresh)
        where = "in the cache for whoever asks again" if call.store_ttl_ms else "told to nobody: it may not be cached"
        return f"replayed as the call {waiter.id}: its answer will be {where}"


def _with_timeout(body: bytes, timeout_ms: int) -> bytes:
    """The request with another time, and every other field as it was; what is no request stays as it is."""
    try:
        fields = msgspec.msgpack.decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return body
    if not isinstance(fields, dict):
        return body
    return msgspec.msgpack.encode({**fields, "timeout_ms": timeout_ms})
