"""The one place that opens an asyncio AMQP connection.

A `Session` is one connection for one life: it does not reconnect behind anybody's back. Whoever owns it knows what was
unanswered when it broke, opens the next one (`optimizer_wire.backoff`), and declares, consumes and publishes again.
Nothing here waits for ever for a broker that does not answer.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import aiormq
import aiormq.exceptions
import pamqp.commands
from yarl import URL

from optimizer_wire.answers import answer, lost_if_cancelled
from optimizer_wire.broker_errors import LOST, BrokerUnavailable, NotDeclared, NotPermitted, QueueMissing
from optimizer_wire.broker_words import words
from optimizer_wire.channel import Channel
from optimizer_wire.connection import WatchedConnection
from optimizer_wire.tls import tls_trouble
from optimizer_wire.topology import Topology
from optimizer_wire.urls import masked_url

# With the longest pause between attempts (`optimizer_service.lifetime`) it stays below the 15 s in which all are back.
CONNECT_TIMEOUT_S = 8.0
CLOSE_TIMEOUT_S = 5.0
# What a broker with an alarm has not read is lost when we go; it was not acked either.
CLOSE_BLOCKED_TIMEOUT_S = 0.5
# Silence is noticed within two of these. RabbitMQ itself takes two to three before it gives the calls of a worker that
# hangs to another one.
HEARTBEAT_S = 6

# A lost connection is told by whoever owns the session, in a sentence; the library's own lines would come before it.
logging.getLogger("aiormq").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Depth:
    """How full a queue is: messages that no consumer holds, and how many consumers it has."""

    ready: int
    consumers: int


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
            with lost_if_cancelled():
                async with asyncio.timeout(timeout_s):
                    await connection.connect()
        except (TimeoutError, *LOST) as error:
            why = tls_trouble(error, encrypted=url.startswith("amqps:")) or words(error)
            raise BrokerUnavailable(f"RabbitMQ at {masked_url(url)} cannot be reached: {why}") from error
        return cls(connection)

    @property
    def server_version(self) -> str:
        """The broker's version as it tells it, for example 4.1.0; empty if it tells none."""
        version: object = self._connection.server_properties.get("version", "")
        return version.decode(errors="replace") if isinstance(version, bytes) else str(version)

    @property
    def blocked(self) -> str | None:
        """Why the broker takes no messages for now (it is low on memory or disk), or None."""
        return self._connection.blocked

    def be_patient(self, patience_s: float) -> None:
        """From now on let what comes gather for so long, for a process that nobody waits for: it is woken seldom."""
        self._connection.patience_s = patience_s

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
        await _close(underlay)

    async def _see(self, topology: Topology) -> None:
        for exchange in topology.exchanges:
            await self._see_one("exchange", exchange.name)
        for queue in topology.queues:
            await self._see_one("queue", queue.name)

    async def _see_one(self, kind: Literal["exchange", "queue"], name: str) -> None:
        underlay = await self._open_channel(confirms=False)
        try:
            if kind == "exchange":
                await answer(underlay.exchange_declare(name, passive=True))
            else:
                await answer(underlay.queue_declare(name, passive=True))
        except QueueMissing as error:
            raise NotDeclared(
                f"The {kind} {name} does not exist, and the user {self.user} may not declare it: start a coordinator "
                "first, whose configuration names the same users and backends."
            ) from error
        except NotPermitted:
            # RabbitMQ 4 lets nobody even look who has no right at all to it, and so no use for it.
            return
        await _close(underlay)

    async def exchange_exists(self, name: str) -> bool:
        """Whether there is an exchange of this name, as far as this user may see.

        :raises BrokerUnavailable: if the connection is gone.
        """
        try:
            await self._see_one("exchange", name)
        except NotDeclared:
            return False
        return True

    async def _open_channel(self, *, confirms: bool) -> aiormq.Channel:
        try:
            with lost_if_cancelled():
                underlay = await self._connection.channel(
                    publisher_confirms=confirms,
                    on_return_raises=confirms,
                    timeout=CONNECT_TIMEOUT_S,
                )
        except (TimeoutError, RuntimeError, *LOST) as error:
            raise BrokerUnavailable(words(error)) from error
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

    async def depths(self, queues: Iterable[str]) -> dict[str, Depth | None]:
        """How full these queues are, on one channel; None for one that does not exist.

        Those that this user may not even see (RabbitMQ 4) are left out.

        :raises BrokerUnavailable: if the connection is gone.
        """
        found: dict[str, Depth | None] = {}
        channel: aiormq.Channel | None = None
        for queue in queues:
            channel = channel or await self._open_channel(confirms=False)
            try:
                seen = await answer(channel.queue_declare(queue, passive=True))
                found[queue] = Depth(int(seen.message_count or 0), int(seen.consumer_count or 0))
            except QueueMissing:
                found[queue], channel = None, None  # the refusal has closed the channel
            except NotPermitted:
                channel = None
        if channel is not None:
            await _close(channel)
        return found

    async def _looked_up(self, queue: str) -> pamqp.commands.Queue.DeclareOk | None:
        # On a channel of its own: asking for a queue that does not exist closes the channel.
        channel = await self._open_channel(confirms=False)
        try:
            found = await answer(channel.queue_declare(queue, passive=True))
        except QueueMissing:
            return None
        await _close(channel)
        return found

    async def close(self) -> None:
        """Close the connection; what was published before has been handed to the broker, unless it is blocked."""
        self.lost.set()
        timeout_s = CLOSE_BLOCKED_TIMEOUT_S if self.blocked else CLOSE_TIMEOUT_S
        with suppress(TimeoutError, BrokerUnavailable):
            async with asyncio.timeout(timeout_s):
                for channel in self._channels:
                    await channel.written()
        with suppress(TimeoutError, BrokerUnavailable, *LOST), lost_if_cancelled():
            async with asyncio.timeout(timeout_s):
                await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _close(channel: aiormq.Channel) -> None:
    with suppress(TimeoutError, RuntimeError, *LOST):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await channel.close()
