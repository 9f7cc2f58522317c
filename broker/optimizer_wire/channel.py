"""One channel of a session: declare, consume, publish, acknowledge.

Publishing and acknowledging go past aiormq (`outgoing.py`): what is sent in one turn of the loop is one write, without
a task, a lock and a timer for every message. So does what is delivered and confirmed (`incoming.py`).
"""

from collections.abc import Callable

import aiormq

from optimizer_wire.answers import answer
from optimizer_wire.broker_errors import (
    LOST,
    BrokerUnavailable,
    Refused,
    Unconfirmed,
    Unroutable,
    not_taken,
)
from optimizer_wire.broker_words import words
from optimizer_wire.confirm_watch import ConfirmWatch
from optimizer_wire.connection import WatchedConnection
from optimizer_wire.deliveries import Delivery
from optimizer_wire.frames import Properties
from optimizer_wire.ids import new_id
from optimizer_wire.incoming import Deliver, Incoming
from optimizer_wire.messages import PING_TYPE
from optimizer_wire.outgoing import Confirmation, Outgoing
from optimizer_wire.topology import Binding, Queue, Topology

PUBLISH_TIMEOUT_S = 10.0


class Channel:
    """One AMQP channel. Not safe for use after its session was lost: every method then raises `BrokerUnavailable`."""

    def __init__(self, underlay: aiormq.Channel, connection: WatchedConnection) -> None:
        self._channel = underlay
        self._connection = connection
        self._outgoing = Outgoing(underlay, connection.stream)
        self._watch = ConfirmWatch(connection)
        self._incoming = Incoming(self._outgoing)
        connection.channels_incoming[underlay.number] = self._incoming
        # Called with the name of the queue that something came from.
        self.on_delivery: Callable[[str], None] | None = None

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages for now, or None."""
        return self._connection.blocked

    def before_writing(self, add: Callable[[], None]) -> None:
        """Call this before what was sent in a turn of the loop is written; what it publishes goes before the acks."""
        self._outgoing.before_writing.append(add)

    async def declare(self, topology: Topology) -> None:
        """Declare everything that is missing.

        :raises TopologyDiffers: if something exists with other arguments; the channel is closed by then.
        """
        for exchange in topology.exchanges:
            await answer(self._channel.exchange_declare(exchange.name, exchange_type=exchange.kind, durable=True))
        for queue in topology.queues:
            await self.declare_queue(queue)
        for binding in topology.bindings:
            await self.bind(binding.queue, binding.exchange, binding.key)

    async def declare_queue(self, queue: Queue) -> None:
        """Declare one queue.

        :raises BrokerUnavailable: if the broker refuses it or is gone.
        """
        await answer(
            self._channel.queue_declare(
                queue.name,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=queue.arguments,
            )
        )

    async def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it; none of this name is fine."""
        await answer(self._channel.queue_delete(name))

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue to an exchange."""
        await answer(self._channel.queue_bind(queue, exchange, key))

    async def unbind(self, binding: Binding) -> None:
        """End a binding; none is fine."""
        await answer(self._channel.queue_unbind(binding.queue, binding.exchange, binding.key))

    async def consume(
        self,
        queue: str,
        deliver: Deliver,
        *,
        prefetch: int = 0,
        no_ack: bool = False,
        precedence: int = 0,
        on_cancel: Callable[[], None],
    ) -> str:
        """Call `deliver` with every message of the queue; returns the consumer's tag.

        Of several consumers of a queue, those of the highest `precedence` get the messages while they can take any.
        `on_cancel` is called when the broker ends the consumer, for example because the queue was deleted.
        `deliver` must not block: it takes the message and returns.
        """

        def received(message: Delivery) -> None:
            # Before anything else that may fail: an ack of a later one must not be one of this.
            if not no_ack:
                self._outgoing.delivered(message.tag)
            if self.on_delivery is not None:
                self.on_delivery(queue)
            if not no_ack and message.properties.message_type == PING_TYPE:
                # It has shown that the consumer works, and is nothing else.
                self._outgoing.ack(message.tag)
            else:
                deliver(message)

        async def unexpected(_: object) -> None:
            """What aiormq would call, if it got what is delivered."""

        def cancelled(_: object) -> None:
            on_cancel()

        # 0 too: RabbitMQ gives a new consumer what was asked for last.
        await answer(self._channel.basic_qos(prefetch_count=prefetch))
        self._channel.on_consumer_cancel_callbacks.add(cancelled)
        arguments = {"x-priority": precedence} if precedence else None
        tag = new_id()
        # What is delivered may come with the broker's answer.
        self._incoming.consume(tag, received)
        await answer(
            self._channel.basic_consume(queue, unexpected, no_ack=no_ack, arguments=arguments, consumer_tag=tag)  # type: ignore[arg-type]
        )
        return tag

    async def stop_consuming(self, tag: str) -> None:
        """Ask the broker to send no more messages to this consumer."""
        await answer(self._channel.basic_cancel(tag))
        self._incoming.forget(tag)

    def publish(self, exchange: str, key: str, body: bytes, properties: Properties) -> None:
        """Publish without waiting: what is acked after this on the same channel is handled after it by the broker."""
        try:
            self._outgoing.publish(exchange, key, body, properties)
        except LOST as error:
            raise BrokerUnavailable(words(error)) from error

    async def publish_confirmed(
        self,
        exchange: str,
        key: str,
        body: bytes,
        properties: Properties,
        *,
        timeout_s: float = PUBLISH_TIMEOUT_S,
        blocked_s: float = 0.0,
    ) -> None:
        """Publish and wait until the broker has the message; the channel must have been opened with `confirms`.

        `timeout_s` is for a broker that could read it, `blocked_s` for one with an alarm.

        :raises Unroutable: if no queue is bound there.
        :raises Refused: if the queue is full.
        :raises Blocked: if the broker has an alarm for so long.
        :raises Unconfirmed: if it cannot be known whether the broker has it.
        """
        try:
            confirmation = self._outgoing.publish_confirmed(exchange, key, body, properties)
        except LOST as error:
            raise not_taken(error, exchange) from error
        self._watch.add(confirmation, timeout_s, blocked_s)
        try:
            await confirmation
        except LOST as error:
            raise not_taken(error, exchange) from error

    def publish_watched(
        self,
        exchange: str,
        key: str,
        body: bytes,
        properties: Properties,
        told: Callable[[Unroutable | Refused | Unconfirmed | None], None],
    ) -> None:
        """The same without waiting: `told` is called with None once the broker has the message, or with the error.

        It may be called at once. While the connection lives and the broker says nothing, it is not called: this is for
        those who keep time themselves.
        """

        def ended(confirmation: Confirmation) -> None:
            error = confirmation.exception() if not confirmation.cancelled() else None
            told(None if error is None else not_taken(error, exchange))

        try:
            self._outgoing.publish_confirmed(exchange, key, body, properties).add_done_callback(ended)
        except LOST as error:
            told(not_taken(error, exchange))

    async def ack(self, tag: int) -> None:
        """Tell the broker that a delivery has been handled."""
        try:
            self._outgoing.ack(tag)
        except LOST as error:
            raise BrokerUnavailable(words(error)) from error

    async def reject(self, tag: int) -> None:
        """Send a delivery to the dead letters."""
        await self._refuse(tag, requeue=False)

    async def requeue(self, tag: int) -> None:
        """Hand a delivery back, for a process that stops. Never for "not now": it counts toward the delivery limit."""
        await self._refuse(tag, requeue=True)

    async def _refuse(self, tag: int, *, requeue: bool) -> None:
        try:
            self._outgoing.refuse(tag, requeue=requeue)
        except LOST as error:
            raise BrokerUnavailable(words(error)) from error

    async def written(self) -> None:
        """Wait until everything sent on this channel so far was given to the socket."""
        try:
            await self._outgoing.written()
        except LOST as error:
            raise BrokerUnavailable(words(error)) from error

    async def flush(self) -> None:
        """Wait until the broker has handled everything sent on this channel so far (a round trip on the channel)."""
        await self.written()
        await answer(self._channel.basic_qos(prefetch_count=0))
