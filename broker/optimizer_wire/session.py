"""The one place that opens an asyncio AMQP connection.

A `Session` is one connection for one life: it does not reconnect behind anybody's back. Whoever owns it knows what was
unanswered when it broke, opens the next one (`optimizer_wire.backoff`), and declares, consumes and publishes again.

Publishing and acknowledging go past aio-pika and aiormq, see `outgoing.py`: what is sent in one turn of the loop is one
write, without a task, a lock and a timer for every message.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aio_pika
import aiormq
import aiormq.exceptions
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from optimizer_wire.frames import Properties
from optimizer_wire.outgoing import Confirmation, Outgoing
from optimizer_wire.topology import Queue, Topology
from optimizer_wire.urls import masked_url

CONNECT_TIMEOUT_S = 10.0
PUBLISH_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
# How far the connection reads ahead of a channel. By default it waits for the channel after every third message.
FRAMES_AHEAD = 300
HEARTBEAT_S = 10  # a silent partition is noticed within two to three of these

# A lost connection is told by whoever owns the session, in a sentence; the library's own lines would come before it.
for _library in ("aiormq", "aio_pika"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

Deliver = Callable[[DeliveredMessage], None]

_LOST = (aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError, ConnectionError, OSError)


class BrokerUnavailable(Exception):
    """RabbitMQ cannot be reached, refuses us, or went away."""


class Unroutable(Exception):
    """No queue is bound where the message was published to."""


class Refused(Exception):
    """The broker did not take the message: the queue is full."""


class Unconfirmed(Exception):
    """It is unknown whether the broker has the message: the connection broke or the confirm did not come in time."""


class ChannelRefused(Unconfirmed):
    """The broker closed the channel over something published on it; `code` and `text` are its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"RabbitMQ closed the channel: {text} ({code}).")
        self.code = code
        self.text = text


class TopologyDiffers(Exception):
    """An entity exists on the broker with other arguments than it must have; the message says which."""


class Channel:
    """One AMQP channel. Not safe for use after its session was lost: every method then raises `BrokerUnavailable`."""

    def __init__(self, underlay: aiormq.Channel) -> None:
        self._channel = underlay
        self._outgoing = Outgoing(underlay)

    async def declare(self, topology: Topology) -> None:
        """Declare everything that is missing.

        :raises TopologyDiffers: if something exists with other arguments; the channel is closed by then.
        """
        try:
            for exchange in topology.exchanges:
                await self._channel.exchange_declare(exchange.name, exchange_type=exchange.kind, durable=True)
            for queue in topology.queues:
                await self.declare_queue(queue)
            for binding in topology.bindings:
                await self._channel.queue_bind(binding.queue, binding.exchange, binding.key)
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            raise TopologyDiffers(_difference(str(error))) from error
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def declare_queue(self, queue: Queue) -> None:
        """Declare one queue.

        :raises BrokerUnavailable: if the broker refuses it or is gone.
        """
        try:
            await self._channel.queue_declare(
                queue.name,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=queue.arguments,
            )
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            raise TopologyDiffers(_difference(str(error))) from error
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def delete_queue(self, name: str) -> None:
        """Delete a queue with all that is in it; none of this name is fine."""
        try:
            await self._channel.queue_delete(name)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue to an exchange."""
        try:
            await self._channel.queue_bind(queue, exchange, key)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

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

        async def received(message: DeliveredMessage) -> None:
            deliver(message)

        def cancelled(_: object) -> None:
            on_cancel()

        try:
            if prefetch:
                await self._channel.basic_qos(prefetch_count=prefetch)
            self._channel.on_consumer_cancel_callbacks.add(cancelled)
            arguments: dict[str, Any] | None = {"x-priority": precedence} if precedence else None
            answer = await self._channel.basic_consume(queue, received, no_ack=no_ack, arguments=arguments)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error
        return str(answer.consumer_tag)

    async def stop_consuming(self, tag: str) -> None:
        """Ask the broker to send no more messages to this consumer."""
        try:
            await self._channel.basic_cancel(tag)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def publish(self, exchange: str, key: str, body: bytes, properties: Properties) -> None:
        """Publish without waiting: what is acked after this on the same channel is handled after it by the broker."""
        try:
            self._outgoing.publish(exchange, key, body, properties)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def publish_confirmed(
        self, exchange: str, key: str, body: bytes, properties: Properties, *, timeout_s: float = PUBLISH_TIMEOUT_S
    ) -> None:
        """Publish and wait until the broker has the message; the channel must have been opened with `confirms`.

        :raises Unroutable: if no queue is bound there.
        :raises Refused: if the queue is full.
        :raises Unconfirmed: if it cannot be known whether the broker has it.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._outgoing.publish_confirmed(exchange, key, body, properties)
        except TimeoutError as error:
            raise Unconfirmed(f"RabbitMQ did not confirm within {timeout_s:g} s.") from error
        except _LOST as error:
            raise _not_taken(error, exchange, key) from error

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
            told(None if error is None else _not_taken(error, exchange, key))

        try:
            self._outgoing.publish_confirmed(exchange, key, body, properties).add_done_callback(ended)
        except _LOST as error:
            told(_not_taken(error, exchange, key))

    async def ack(self, tag: int) -> None:
        """Tell the broker that a delivery has been handled."""
        try:
            self._outgoing.ack(tag)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def reject(self, tag: int) -> None:
        """Send a delivery to the dead letters."""
        await self._refuse(tag, requeue=False)

    async def requeue(self, tag: int) -> None:
        """Hand a delivery back, for a process that stops. Never for "not now": it counts toward the delivery limit."""
        await self._refuse(tag, requeue=True)

    async def _refuse(self, tag: int, *, requeue: bool) -> None:
        try:
            self._outgoing.refuse(tag, requeue=requeue)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def written(self) -> None:
        """Wait until everything sent on this channel so far was given to the socket."""
        try:
            await self._outgoing.written()
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

    async def flush(self) -> None:
        """Wait until the broker has handled everything sent on this channel so far (a round trip on the channel)."""
        await self.written()
        try:
            await self._channel.basic_qos(prefetch_count=0)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error


class Session:
    """One connection to RabbitMQ. `lost` is set when it is gone, whoever closed it."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection, user: str) -> None:
        self._connection = connection
        self._channels: list[Channel] = []
        self.user = user
        self.lost = asyncio.Event()
        connection.close_callbacks.add(lambda *_: self.lost.set())

    @classmethod
    async def open(cls, url: str, name: str, *, timeout_s: float = CONNECT_TIMEOUT_S) -> Self:
        """Connect; `name` is shown in RabbitMQ's own pages.

        :raises BrokerUnavailable: with a sentence, if it cannot be reached in time or refuses the user.
        """
        try:
            async with asyncio.timeout(timeout_s):
                heartbeat: dict[str, Any] = {} if "heartbeat=" in url else {"heartbeat": HEARTBEAT_S}
                connection = await aio_pika.connect(url, client_properties={"connection_name": name}, **heartbeat)
        except (TimeoutError, *_LOST) as error:
            raise BrokerUnavailable(f"RabbitMQ at {masked_url(url)} cannot be reached: {_words(error)}") from error
        return cls(connection, aio_pika.connection.make_url(url).user or "guest")

    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel; with `confirms`, for `publish_confirmed`."""
        try:
            underlay = await self._underlay().channel(
                publisher_confirms=confirms,
                on_return_raises=confirms,
                frame_buffer_size=FRAMES_AHEAD,
                timeout=CONNECT_TIMEOUT_S,
            )
        except (TimeoutError, RuntimeError, *_LOST) as error:
            raise BrokerUnavailable(_words(error)) from error
        if not isinstance(underlay, aiormq.Channel):
            raise BrokerUnavailable(f"aiormq gave a channel of the kind {type(underlay).__name__}.")
        underlay.closing.add_done_callback(lambda _: self.lost.set())
        opened = Channel(underlay)
        self._channels.append(opened)
        return opened

    async def consumers(self, queue: str) -> int:
        """How many consumers a queue has; 0 if there is no such queue.

        :raises BrokerUnavailable: if the connection is gone.
        """
        try:
            # On a channel of its own: asking for a queue that does not exist closes the channel.
            async with asyncio.timeout(CONNECT_TIMEOUT_S), self._connection.channel() as channel:
                found = await channel.declare_queue(queue, passive=True)
                return int(found.declaration_result.consumer_count or 0)
        except aiormq.exceptions.ChannelNotFoundEntity:
            return 0
        except (TimeoutError, RuntimeError, *_LOST) as error:
            raise BrokerUnavailable(_words(error)) from error

    @property
    def blocked(self) -> bool:
        """Whether RabbitMQ has told us that it reads nothing of ours for now: it is low on memory or disk."""
        waiting = self._underlay().ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        waiting.close()
        return True

    async def unblocked(self) -> None:
        """Wait until RabbitMQ reads again; for ever, if the connection is lost meanwhile."""
        await self._underlay().ready()

    def _underlay(self) -> aiormq.abc.AbstractConnection:
        transport = self._connection.transport
        if transport is None:
            raise BrokerUnavailable("The connection is closed.")
        return transport.connection

    async def close(self) -> None:
        """Close the connection; what was published before has been handed to the broker."""
        self.lost.set()
        with suppress(TimeoutError, BrokerUnavailable):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                for channel in self._channels:
                    await channel.written()
        with suppress(TimeoutError, *_LOST):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def delivery_of(message: DeliveredMessage) -> tuple[int, bool]:
    """The delivery tag of a consumed message, and whether it was delivered before."""
    delivery = message.delivery
    if not isinstance(delivery, Basic.Deliver):
        raise TypeError(f"The message was not consumed but came as {type(delivery).__name__}.")
    return int(delivery.delivery_tag or 0), bool(delivery.redelivered)


def properties(
    kind: str,
    message_id: str,
    *,
    content_type: str,
    reply_to: str | None = None,
    expiration_ms: int | None = None,
    user: str | None = None,
    agent: str | None = None,
    durable: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Properties:
    """The AMQP properties that every message of the optimizer carries (design: message_id = correlation_id = id)."""
    return Properties(kind, message_id, content_type, durable, reply_to, expiration_ms, user, agent, headers)


def _not_taken(error: BaseException, exchange: str, key: str) -> Unroutable | Refused | Unconfirmed:
    """What the broker, or its silence, says of a message that was published with a confirm."""
    match error:
        case aiormq.exceptions.PublishError():
            return Unroutable(f"No queue is bound to {exchange} with the key {key}.")
        case aiormq.exceptions.ChannelNotFoundEntity():
            return Unroutable(f"The exchange {exchange} does not exist.")
        case aiormq.exceptions.DeliveryError():
            return Refused(f"The queue behind {key} is full.")
        case aiormq.exceptions.ChannelAccessRefused():
            return ChannelRefused(403, str(error))
        case aiormq.exceptions.ChannelPreconditionFailed():
            return ChannelRefused(406, str(error))
        case _:
            return Unconfirmed(_words(error))


_INEQUIVALENT = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>\w+) '(?P<name>[^']+)'.*?: "
    r"received (?P<needs>.+?) but current is (?P<has>[^\"\n]+)"
)
_VALUE = re.compile(r"^the value '(?P<value>[^']*)' of type '\w+'$")


def _difference(text: str) -> str:
    """RabbitMQ's refusal of a declaration as a sentence about what is there and what must be."""
    found = _INEQUIVALENT.search(text)
    if not found:
        return f"RabbitMQ has something else of this name: {text}"

    def value(raw: str) -> str:
        inner = _VALUE.match(raw.strip(" '"))
        plain = _VALUE.match(raw.strip())
        return (plain or inner or {"value": raw.strip(" '")})["value"]

    kind, name, argument = found["kind"], found["name"], found["argument"]
    return f"The {kind} {name} has {argument} = {value(found['has'])}, but needs {value(found['needs'])}."


def _words(error: BaseException) -> str:
    """An error of the AMQP library as a sentence's end."""
    text = str(error) or type(error).__name__
    if "Connection.OpenOk" in text:
        return "the vhost does not exist, or this user may not use it."
    return text if text.endswith(".") else f"{text}."
