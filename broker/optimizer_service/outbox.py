"""What processes say over RabbitMQ: replies to waiters, calls to workers, events to whoever listens."""

from collections.abc import Iterable
from contextlib import suppress

from optimizer_service.metrics import EVENTS_LOST, count_event, count_reply
from optimizer_state.answer import Answer
from optimizer_state.mailboxes import Mailboxes, is_mailbox
from optimizer_state.replies import reply_of, source_for
from optimizer_state.store import Store
from optimizer_wire.broker_errors import BrokerUnavailable, Unroutable
from optimizer_wire.channel import Channel
from optimizer_wire.codec import encode
from optimizer_wire.events import Event, cloud_event_headers
from optimizer_wire.frames import Properties
from optimizer_wire.journal import Journal, together
from optimizer_wire.messages import CALL_TYPE, CONTENT_TYPE, EVENT_TYPE, REPLY_TYPE, Call, Reply, Source, Waiter
from optimizer_wire.topology import CALL_EXPIRES_MS, Names
from optimizer_wire.tracing import traceparent_headers


class Outbox:
    """Publishes on one channel without waiting, beside the work and before its ack.

    The broker handles a channel in order: once it has handled the ack, it has handled what was said before.
    Every method raises `BrokerUnavailable` if the channel is gone. What is for a submitted request goes to its mailbox
    in Redis: `RedisAway` means that it could not be put there, and that the work must not be acked yet.
    """

    def __init__(self, channel: Channel, names: Names, store: Store) -> None:
        self._channel = channel
        self._names = names
        self._clock = store.clock
        self._mailboxes = Mailboxes(store)
        self._journal = Journal(channel, names)

    async def reply(self, reply_to: str, reply: Reply) -> None:
        """Send one reply. Nobody there is no fault: a client that lost its queue asks again, and the answer is kept."""
        if is_mailbox(reply_to):
            await self._mailboxes.put(reply_to, [reply])
        else:
            self._channel.publish(
                "", reply_to, encode(reply), Properties(REPLY_TYPE, reply.id, content_type=CONTENT_TYPE)
            )
        count_reply(reply)

    async def answer(self, answer: Answer, waiters: Iterable[Waiter], source: Source | None = None) -> None:
        """Tell the waiters of a flight how it ended; `source` if it did not come from their flight."""
        now_ms = self._clock.now_ms()
        # Who listens hears it first: Redis may be away.
        for waiter in sorted(waiters, key=lambda each: is_mailbox(each.reply_to)):
            await self.reply(waiter.reply_to, reply_of(answer, waiter, source or source_for(answer, waiter), now_ms))

    async def handed_over(self) -> None:
        """Wait until what was said is the system's to deliver: then it arrives though this process be killed.

        Not while the broker has an alarm and reads nothing.
        """
        if self._channel.blocked is None:
            await self._channel.written()

    async def tell(self, event: Event) -> None:
        """Publish an event to whoever listens, by its type, and to the recorder."""
        body, said = _message(event)
        try:
            self._channel.publish(self._names.events, event.type, body, said)
            self._journal.add(event.id, body)
        except BrokerUnavailable:
            EVENTS_LOST.inc()
            raise
        count_event(event)


async def publish_event(channel: Channel, names: Names, event: Event) -> None:
    """Publish one event as `Outbox.tell` does, on a channel with confirms; nobody who listens is no fault.

    :raises Refused, Unconfirmed: see `Channel.publish_confirmed`.
    """
    body, said = _message(event)
    with suppress(Unroutable):
        await channel.publish_confirmed(names.events, event.type, body, said)
    with suppress(Unroutable):
        await channel.publish_confirmed(names.journal, "", *together(event.id, [body]))


def _message(event: Event) -> tuple[bytes, Properties]:
    said = Properties(EVENT_TYPE, event.id, content_type=CONTENT_TYPE, headers=cloud_event_headers(event))
    return encode(event), said


async def publish_call(channel: Channel, names: Names, call: Call, *, blocked_s: float = 0.0) -> None:
    """Publish a call to the backend of its station, on a channel with confirms.

    :raises Unroutable, Refused, Blocked, Unconfirmed: see `Channel.publish_confirmed`.
    """
    said = Properties(
        CALL_TYPE,
        call.waiter.id,
        content_type=CONTENT_TYPE,
        expiration_ms=CALL_EXPIRES_MS,
        agent=call.waiter.agent,
        durable=True,
        headers=traceparent_headers(call.waiter.trace),
    )
    await channel.publish_confirmed(
        names.calls,
        names.call_key(call.route[call.hop].backend, call.waiter.priority),
        encode(call),
        said,
        blocked_s=blocked_s,
    )
