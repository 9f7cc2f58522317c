"""What a channel sends, gathered: everything of one turn of the loop is one write to the socket.

A write costs more than all the work on the message in it. Acks go after everything gathered with them, so that what is
published before an ack is also handled before it. It is written past aiormq, whose queue and task for it cost as much
again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import aiormq
import aiormq.exceptions
import pamqp.frame
from pamqp.commands import Basic

from optimizer_wire import frames
from optimizer_wire.broker_errors import Refused, Unroutable
from optimizer_wire.frames import Acks, Properties

Confirmation = asyncio.Future[None]

# For a broker that sets no limit (it says 0), what it has by default.
UNLIMITED_FRAME_BYTES = 131_072


@dataclass(slots=True)
class _Unconfirmed:
    """A message that was published with a confirm, until the broker has said what became of it."""

    confirmation: Confirmation
    name: str
    exchange: str
    key: str


class Outgoing:
    """The sending side of one channel; its methods raise what aiormq raises if the channel is closed."""

    def __init__(self, channel: aiormq.Channel, stream: asyncio.StreamWriter) -> None:
        self._channel = channel
        self._stream = stream
        self._frame_max = channel.connection.connection_tune.frame_max or UNLIMITED_FRAME_BYTES
        self._frames: list[bytes] = []
        self._acks = Acks()
        self._due = False
        self._loop = asyncio.get_running_loop()
        # By the number that the broker confirms them under, in that order.
        self._unconfirmed: OrderedDict[int, _Unconfirmed] = OrderedDict()
        self._published = 0
        # Called before what was gathered is written: it may publish more.
        self.before_writing: list[Callable[[], None]] = []
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
        """Send a message, mandatory. The future ends with the broker's word: it raises `Unroutable` or `Refused`, or
        what aiormq raises when the channel is closed.
        """
        self.publish(exchange, key, body, properties, mandatory=True)
        self._published += 1
        confirmation = self._loop.create_future()
        self._unconfirmed[self._published] = _Unconfirmed(confirmation, properties.message_id, exchange, key)
        return confirmation

    def confirmed(self, tag: int, *, multiple: bool, taken: bool) -> None:
        """The broker has taken, or refused, a message; `multiple`: this one and all before it."""
        if not multiple:
            self._end(tag, taken=taken)
            return
        while self._unconfirmed and (first := next(iter(self._unconfirmed))) <= tag:
            self._end(first, taken=taken)

    def returned(self, message_id: str, exchange: str, key: str) -> None:
        """No queue was bound for a message; its confirm follows. Of copies that went to one place, it is the first."""
        for number, entry in self._unconfirmed.items():
            if (entry.name, entry.exchange, entry.key) == (message_id, exchange, key):
                del self._unconfirmed[number]
                if not entry.confirmation.done():
                    error = Unroutable(f"No queue is bound to {exchange} with the key {key}.")
                    entry.confirmation.set_exception(error)
                return

    def _end(self, number: int, *, taken: bool) -> None:
        entry = self._unconfirmed.pop(number, None)
        if entry is None or entry.confirmation.done():
            return
        if taken:
            entry.confirmation.set_result(None)
        else:
            entry.confirmation.set_exception(Refused(f"The queue behind {entry.key} is full."))

    def _closed(self, closing: "asyncio.Future[object]") -> None:
        """Tell why, if the broker said so: it closes a channel over a message that it cannot take."""
        reason = None if closing.cancelled() else closing.exception()
        unconfirmed, self._unconfirmed = self._unconfirmed, OrderedDict()
        for entry in unconfirmed.values():
            if not entry.confirmation.done():
                told = reason if isinstance(reason, aiormq.exceptions.ChannelClosed) else _closed()
                entry.confirmation.set_exception(told)

    def delivered(self, tag: int) -> None:
        """Note that a message has come which is to be acknowledged."""
        self._acks.delivered(tag)

    def ack(self, tag: int) -> None:
        """Tell that a delivery has been handled."""
        self._check()
        self._acks.add(tag)
        self._write_soon()

    def refuse(self, tag: int, *, requeue: bool) -> None:
        """Hand a delivery back, or send it to the dead letters."""
        self._send(pamqp.frame.marshal(Basic.Nack(delivery_tag=tag, requeue=requeue), self._channel.number))
        self._acks.settled(tag)

    async def written(self) -> None:
        """Wait until everything so far was given to the socket."""
        self._check()
        self._write_soon()
        # Others who ask in this turn are in the same write, which is due before this goes on.
        await asyncio.sleep(0)
        self._check()
        # Only who asks waits for the socket: a broker with an alarm reads nothing.
        await self._stream.drain()

    def _send(self, payload: bytes) -> None:
        self._check()
        self._frames.append(payload)
        self._write_soon()

    def _check(self) -> None:
        if self._is_closed():
            raise _closed()

    def _is_closed(self) -> bool:
        # aiormq closes the channel some turns after the connection: until then only the stream says it.
        return self._channel.is_closed or self._stream.is_closing()

    def _write_soon(self) -> None:
        if not self._due:
            self._due = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        """Write what was gathered, unless there is nobody any more to write it to."""
        if self._is_closed():
            self._due = False
            return
        for add in self.before_writing:
            add()
        self._due = False
        gathered, self._frames = self._frames, []
        number = self._channel.number
        gathered += [frames.ack(number, tag, multiple=multiple) for tag, multiple in self._acks.take()]
        if gathered:
            self._stream.write(b"".join(gathered))


def _closed() -> Exception:
    return aiormq.exceptions.ChannelInvalidStateError("The channel is closed.")
