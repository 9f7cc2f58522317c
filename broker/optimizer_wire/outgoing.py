"""What a channel sends, gathered: everything of one turn of the loop is one write to the socket.

A write costs more than all the work on the message in it. Acks go after everything gathered with them, so that what is
published before an ack is also handled before it.
"""

import asyncio
from typing import NoReturn

import aiormq
import aiormq.exceptions
import pamqp.frame
from aiormq.abc import ChannelFrame
from pamqp.commands import Basic

from optimizer_wire import frames
from optimizer_wire.frames import Acks, Properties

Confirmation = asyncio.Future[object]


class Outgoing:
    """The sending side of one channel; its methods raise what aiormq raises if the channel is closed."""

    def __init__(self, channel: aiormq.Channel) -> None:
        self._channel = channel
        self._frame_max = channel.connection.connection_tune.frame_max
        self._frames: list[bytes] = []
        self._acks = Acks()
        self._filled = asyncio.Event()
        self._watchers: list[asyncio.Future[None]] = []
        self._unconfirmed: set[Confirmation] = set()
        # aiormq ends the task with the channel.
        channel.create_task(self._write())
        channel.closing.add_done_callback(self._closed)

    def publish(self, exchange: str, key: str, body: bytes, properties: Properties, *, mandatory: bool = False) -> None:
        """Send a message."""
        self._send(
            frames.message(
                self._channel.number,
                exchange,
                key,
                properties,
                body,
                mandatory=mandatory,
                frame_max=self._frame_max,
            )
        )

    def publish_confirmed(self, exchange: str, key: str, body: bytes, properties: Properties) -> Confirmation:
        """Send a message, mandatory; the future ends with the broker's word, as aiormq's publishing does."""
        self.publish(exchange, key, body, properties, mandatory=True)
        channel, name = self._channel, properties.message_id
        channel.delivery_tag += 1
        tag = channel.delivery_tag
        # A plain future: one that aiormq ends with the channel costs as much as the rest of this together.
        confirmation: Confirmation = asyncio.get_running_loop().create_future()
        channel.confirmations[tag] = confirmation
        # A message that comes back is known by its id; of two copies, the later one is watched.
        channel.message_id_delivery_tag[name] = tag
        self._unconfirmed.add(confirmation)
        confirmation.add_done_callback(lambda _: self._forget(confirmation, name, tag))
        return confirmation

    def _forget(self, confirmation: Confirmation, name: str, tag: int) -> None:
        self._unconfirmed.discard(confirmation)
        if self._channel.message_id_delivery_tag.get(name) == tag:
            del self._channel.message_id_delivery_tag[name]

    def _closed(self, closing: "asyncio.Future[object]") -> None:
        """Tell why, if the broker said so: it closes a channel over a message that it cannot take."""
        reason = None if closing.cancelled() else closing.exception()
        for confirmation in self._unconfirmed:
            if not confirmation.done():
                confirmation.set_exception(reason if isinstance(reason, aiormq.exceptions.ChannelClosed) else _closed())

    def ack(self, tag: int) -> None:
        """Tell that a delivery has been handled."""
        self._check()
        self._acks.add(tag)
        self._filled.set()

    def refuse(self, tag: int, *, requeue: bool) -> None:
        """Hand a delivery back, or send it to the dead letters."""
        self._send(pamqp.frame.marshal(Basic.Nack(delivery_tag=tag, requeue=requeue), self._channel.number))
        self._acks.settled(tag)

    async def written(self) -> None:
        """Wait until everything so far was given to the socket."""
        self._check()
        watcher: asyncio.Future[None] = self._channel.create_future()
        self._watchers.append(watcher)
        self._filled.set()
        await watcher

    def _send(self, payload: bytes) -> None:
        self._check()
        self._frames.append(payload)
        self._filled.set()

    def _check(self) -> None:
        if self._channel.is_closed:
            raise _closed()

    async def _write(self) -> NoReturn:
        """Write what was gathered, again and again."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            gathered, self._frames = self._frames, []
            watchers, self._watchers = self._watchers, []
            number = self._channel.number
            gathered += [frames.ack(number, tag, multiple=multiple) for tag, multiple in self._acks.take()]
            # Only a watcher waits for the socket: while a broker with an alarm reads nothing, heartbeats must not queue
            # up behind what is written here, or aiormq takes the connection for dead.
            drained = asyncio.get_running_loop().create_future() if watchers else None
            payload = b"".join(gathered)
            await self._channel.write_queue.put(ChannelFrame(payload, should_close=False, drain_future=drained))
            if drained is not None:
                await drained
            for watcher in watchers:
                if not watcher.done():
                    watcher.set_result(None)


def _closed() -> Exception:
    return aiormq.exceptions.ChannelInvalidStateError("The channel is closed.")
