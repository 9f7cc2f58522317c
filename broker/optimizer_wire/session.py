"""The one place that opens an asyncio AMQP connection.

A `Session` is one connection for one life: it does not reconnect behind anybody's back. Whoever owns it knows what was
unanswered when it broke, opens the next one (`optimizer_wire.backoff`), and declares, consumes and publishes again.

Publishing and acknowledging go past aiormq, see `outgoing.py`: what is sent in one turn of the loop is one write,
without a task, a lock and a timer for every message. Nothing here waits for ever for a broker that does not answer.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Literal, Self, TypeVar

import aiormq
import aiormq.exceptions
import pamqp.commands
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from yarl import URL

from optimizer_wire.connection import WatchedConnection
from optimizer_wire.frames import Properties
from optimizer_wire.outgoing import Confirmation, Outgoing
from optimizer_wire.tls import tls_trouble
from optimizer_wire.topology import Queue, Topology
from optimizer_wire.urls import masked_url

# With the longest pause between attempts (`optimizer_service.lifetime`) it stays below the 15 s in which all are back.
CONNECT_TIMEOUT_S = 8.0
# A broker that sends heartbeats and does not answer: it recovers its queues, or it has an alarm and reads nothing.
ANSWER_TIMEOUT_S = 20.0
PUBLISH_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
# What a broker with an alarm has not read is lost when we go; it was not acked either.
CLOSE_BLOCKED_TIMEOUT_S = 0.5
BLOCKED_LOOK_S = 0.5
# How far the connection reads ahead of a channel. By default it waits for the channel after every third message.
FRAMES_AHEAD = 300
# Silence is noticed within two of these. RabbitMQ itself takes two to three before it gives the calls of a worker that
# hangs to another one.
HEARTBEAT_S = 6

# A lost connection is told by whoever owns the session, in a sentence; the library's own lines would come before it.
logging.getLogger("aiormq").addHandler(logging.NullHandler())

# Of a message that is there to come, and says nothing; in a queue of work it is handled here.
PING_TYPE = "optimizer.ping.v1"

Deliver = Callable[[DeliveredMessage], None]
_Answer = TypeVar("_Answer")

_LOST = (aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError, ConnectionError, OSError)


class BrokerUnavailable(Exception):
    """RabbitMQ cannot be reached, refuses us, or went away."""


class QueueMissing(BrokerUnavailable):
    """There is no queue of this name."""


class NotDeclared(BrokerUnavailable):
    """Something that this user may not declare does not exist yet."""


class NotPermitted(BrokerUnavailable):
    """The broker refuses something to this user."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{_words(error)} `optimizer permissions` prints the rights that each user needs.")


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


class Blocked(Unconfirmed):
    """The broker has an alarm (memory, disk) and has not read the message; it may yet, when the alarm is over."""


class TopologyDiffers(Exception):
    """An entity exists on the broker with other arguments than it must have; the message says which."""


class Channel:
    """One AMQP channel. Not safe for use after its session was lost: every method then raises `BrokerUnavailable`."""

    def __init__(self, underlay: aiormq.Channel, connection: WatchedConnection) -> None:
        self._channel = underlay
        self._connection = connection
        self._outgoing = Outgoing(underlay)
        # Called with the name of the queue that something came from.
        self.on_delivery: Callable[[str], None] | None = None

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages for now, or None."""
        return self._connection.blocked

    async def declare(self, topology: Topology) -> None:
        """Declare everything that is missing.

        :raises TopologyDiffers: if something exists with other arguments; the channel is closed by then.
        """
        for exchange in topology.exchanges:
            await _answer(self._channel.exchange_declare(exchange.name, exchange_type=exchange.kind, durable=True))
        for queue in topology.queues:
            await self.declare_queue(queue)
        for binding in topology.bindings:
            await self.bind(binding.queue, binding.exchange, binding.key)

    async def declare_queue(self, queue: Queue) -> None:
        """Declare one queue.

        :raises BrokerUnavailable: if the broker refuses it or is gone.
        """
        await _answer(
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
        await _answer(self._channel.queue_delete(name))

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue to an exchange."""
        await _answer(self._channel.queue_bind(queue, exchange, key))

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
            if self.on_delivery is not None:
                self.on_delivery(queue)
            if not no_ack and message.header.properties.message_type == PING_TYPE:
                # It has shown that the consumer works, and is nothing else.
                self._outgoing.ack(delivery_of(message)[0])
            else:
                deliver(message)

        def cancelled(_: object) -> None:
            on_cancel()

        # 0 too: RabbitMQ gives a new consumer what was asked for last.
        await _answer(self._channel.basic_qos(prefetch_count=prefetch))
        self._channel.on_consumer_cancel_callbacks.add(cancelled)
        arguments = {"x-priority": precedence} if precedence else None
        answer = await _answer(
            self._channel.basic_consume(queue, received, no_ack=no_ack, arguments=arguments)  # type: ignore[arg-type]
        )
        return str(answer.consumer_tag)

    async def stop_consuming(self, tag: str) -> None:
        """Ask the broker to send no more messages to this consumer."""
        await _answer(self._channel.basic_cancel(tag))

    async def publish(self, exchange: str, key: str, body: bytes, properties: Properties) -> None:
        """Publish without waiting: what is acked after this on the same channel is handled after it by the broker."""
        try:
            self._outgoing.publish(exchange, key, body, properties)
        except _LOST as error:
            raise BrokerUnavailable(_words(error)) from error

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
        except _LOST as error:
            raise _not_taken(error, exchange, key) from error
        try:
            await self._confirmed(confirmation, timeout_s, blocked_s)
        except _LOST as error:
            raise _not_taken(error, exchange, key) from error
        finally:
            confirmation.cancel()

    async def _confirmed(self, confirmation: Confirmation, timeout_s: float, blocked_s: float) -> None:
        loop, connection = asyncio.get_running_loop(), self._connection
        began = loop.time()
        while True:
            # From when on the broker could have read it.
            since = max(began, connection.unblocked_at)
            now = loop.time()
            if connection.blocked and now - began >= blocked_s:
                raise Blocked(f"RabbitMQ takes no messages for now: {connection.blocked}.")
            if not connection.blocked and now - since >= timeout_s:
                raise Unconfirmed(f"RabbitMQ did not confirm within {timeout_s:g} s.")
            until = began + blocked_s if connection.blocked else since + timeout_s
            done, _ = await asyncio.wait([confirmation], timeout=min(BLOCKED_LOOK_S, until - now))
            if done:
                confirmation.result()
                return

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
        await _answer(self._channel.basic_qos(prefetch_count=0))


class Session:
    """One connection to RabbitMQ. `lost` is set when it is gone, whoever closed it.

    `refused` says why, if the broker closed one of its channels over something that its user may not do.
    """

    def __init__(self, connection: WatchedConnection) -> None:
        self._connection = connection
        self._channels: list[Channel] = []
        self.user = connection.url.user or "guest"
        self.lost = asyncio.Event()
        self.refused: NotPermitted | None = None
        connection.closing.add_done_callback(lambda _: self.lost.set())

    @classmethod
    async def open(cls, url: str, name: str, *, timeout_s: float = CONNECT_TIMEOUT_S) -> Self:
        """Connect; `name` is shown in RabbitMQ's own pages.

        :raises BrokerUnavailable: with a sentence, if it cannot be reached in time or refuses the user.
        """
        try:
            where = URL(url)
            if "heartbeat" not in where.query:
                where = where.update_query(heartbeat=HEARTBEAT_S)
            connection = WatchedConnection(where, client_properties={"connection_name": name})
            with _lost_if_cancelled():
                async with asyncio.timeout(timeout_s):
                    await connection.connect()
        except (TimeoutError, *_LOST) as error:
            words = tls_trouble(error, encrypted=url.startswith("amqps:")) or _words(error)
            raise BrokerUnavailable(f"RabbitMQ at {masked_url(url)} cannot be reached: {words}") from error
        return cls(connection)

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages for now (it is low on memory or disk), or None."""
        return self._connection.blocked

    def on_block(self, told: Callable[[str | None], None]) -> None:
        """Call this when the broker takes no messages any more, with the reason, and with None when it does again."""
        self._connection.on_block = told

    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel; with `confirms`, for `publish_confirmed`."""
        underlay = await self._open_channel(confirms=confirms)
        underlay.closing.add_done_callback(self._channel_closed)
        opened = Channel(underlay, self._connection)
        self._channels.append(opened)
        return opened

    def _channel_closed(self, closing: "asyncio.Future[object]") -> None:
        reason = None if closing.cancelled() else closing.exception()
        if isinstance(reason, aiormq.exceptions.ChannelAccessRefused):
            self.refused = NotPermitted(reason)
        self.lost.set()

    async def declare(self, topology: Topology) -> None:
        """Declare everything that is missing; if this user may not, see that it is there.

        :raises TopologyDiffers: if something exists with other arguments, and this user may declare it.
        :raises NotDeclared: if something is missing that it may not declare.
        """
        # On channels of their own: a refusal closes one.
        underlay = await self._open_channel(confirms=False)
        try:
            await Channel(underlay, self._connection).declare(topology)
        except NotPermitted:
            await self._see(topology)
            return
        with suppress(TimeoutError, RuntimeError, *_LOST):
            await underlay.close(timeout=CLOSE_TIMEOUT_S)

    async def _see(self, topology: Topology) -> None:
        for exchange in topology.exchanges:
            await self._see_one("exchange", exchange.name)
        for queue in topology.queues:
            await self._see_one("queue", queue.name)

    async def _see_one(self, kind: Literal["exchange", "queue"], name: str) -> None:
        underlay = await self._open_channel(confirms=False)
        try:
            if kind == "exchange":
                await _answer(underlay.exchange_declare(name, passive=True))
            else:
                await _answer(underlay.queue_declare(name, passive=True))
        except QueueMissing as error:
            raise NotDeclared(
                f"The {kind} {name} does not exist, and the user {self.user} may not declare it: start a coordinator "
                "first, whose configuration names the same users and backends."
            ) from error
        except NotPermitted:
            # RabbitMQ 4 lets nobody even look who has no right at all to it, and so no use for it.
            return
        with suppress(TimeoutError, RuntimeError, *_LOST):
            await underlay.close(timeout=CLOSE_TIMEOUT_S)

    async def _open_channel(self, *, confirms: bool) -> aiormq.Channel:
        try:
            with _lost_if_cancelled():
                underlay = await self._connection.channel(
                    publisher_confirms=confirms,
                    on_return_raises=confirms,
                    frame_buffer_size=FRAMES_AHEAD,
                    timeout=CONNECT_TIMEOUT_S,
                )
        except (TimeoutError, RuntimeError, *_LOST) as error:
            raise BrokerUnavailable(_words(error)) from error
        if not isinstance(underlay, aiormq.Channel):
            raise BrokerUnavailable(f"aiormq gave a channel of the kind {type(underlay).__name__}.")
        return underlay

    async def consumers(self, queue: str) -> int:
        """How many consumers a queue has; 0 if there is no such queue.

        :raises BrokerUnavailable: if the connection is gone.
        """
        found = await self._looked_up(queue)
        return int(found.consumer_count or 0) if found else 0

    async def messages(self, queue: str) -> int:
        """How many messages a queue has that no consumer holds; 0 if there is no such queue.

        :raises BrokerUnavailable: if the connection is gone.
        """
        found = await self._looked_up(queue)
        return int(found.message_count or 0) if found else 0

    async def _looked_up(self, queue: str) -> pamqp.commands.Queue.DeclareOk | None:
        # On a channel of its own: asking for a queue that does not exist closes the channel.
        channel = await self._open_channel(confirms=False)
        try:
            found = await _answer(channel.queue_declare(queue, passive=True))
        except QueueMissing:
            return None
        with suppress(TimeoutError, RuntimeError, *_LOST):
            await channel.close(timeout=CLOSE_TIMEOUT_S)
        return found

    async def close(self) -> None:
        """Close the connection; what was published before has been handed to the broker, unless it is blocked."""
        self.lost.set()
        timeout_s = CLOSE_BLOCKED_TIMEOUT_S if self.blocked else CLOSE_TIMEOUT_S
        with suppress(TimeoutError, BrokerUnavailable):
            async with asyncio.timeout(timeout_s):
                for channel in self._channels:
                    await channel.written()
        with suppress(TimeoutError, BrokerUnavailable, *_LOST), _lost_if_cancelled():
            async with asyncio.timeout(timeout_s):
                await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@contextmanager
def _lost_if_cancelled() -> Iterator[None]:
    """When a connection breaks, aiormq cancels what waits on it for an answer; its caller was not cancelled."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise BrokerUnavailable("The connection was lost.") from error


async def _answer(asked: Awaitable[_Answer]) -> _Answer:
    """What the broker answers.

    :raises TopologyDiffers: if something exists with other arguments; the channel is closed by then.
    :raises QueueMissing: if there is no such queue; the channel is closed by then.
    :raises NotPermitted: if the user may not do this; the channel is closed by then.
    :raises BrokerUnavailable: if it refuses, is gone, or does not answer in time.
    """
    try:
        with _lost_if_cancelled():
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await asked
    except TimeoutError as error:
        raise BrokerUnavailable(f"RabbitMQ did not answer within {ANSWER_TIMEOUT_S:g} s.") from error
    except aiormq.exceptions.ChannelPreconditionFailed as error:
        raise TopologyDiffers(_difference(str(error))) from error
    except aiormq.exceptions.ChannelNotFoundEntity as error:
        raise QueueMissing(_words(error)) from error
    except aiormq.exceptions.ChannelAccessRefused as error:
        raise NotPermitted(error) from error
    except _LOST as error:
        raise BrokerUnavailable(_words(error)) from error


def deliveries_of(message: DeliveredMessage) -> int:
    """How often a consumed message was delivered before, as far as the broker says: quorum queues count it."""
    count = (message.header.properties.headers or {}).get("x-delivery-count", 0)
    return max(count if isinstance(count, int) else 0, int(delivery_of(message)[1]))


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
    if trouble := tls_trouble(error):
        return trouble
    text = str(error) or type(error).__name__
    if "Connection.OpenOk" in text:
        return "the vhost does not exist, or this user may not use it."
    return text if text.endswith(".") else f"{text}."
