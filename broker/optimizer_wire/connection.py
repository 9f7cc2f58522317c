"""A connection of aiormq that notices sooner what goes wrong: silence, and a broker that takes no messages.

aiormq gives a silent broker three heartbeats and more, and tells nobody that it has raised an alarm.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import aiormq
from aiormq.connection import FrameReceiver
from pamqp.commands import Connection as Methods

from optimizer_wire.frame_reader import FrameReader
from optimizer_wire.incoming import Incoming

# RabbitMQ speaks at least once in each heartbeat. Silence is looked for every half of one: it is noticed within two.
SILENCE_HEARTBEATS = 1.5


class WatchedConnection(aiormq.Connection):
    """One connection; `blocked` says why the broker takes no messages now, `unblocked_at` when that ended last.

    `on_block` is called at both changes, with the reason or None. Everything else goes on while it is blocked, until
    something is published: from then on the broker reads nothing of this connection, acks included.
    """

    def __init__(self, url: Any, **more: Any) -> None:
        super().__init__(url, **more)
        self.blocked: str | None = None
        self.unblocked_at = float("-inf")
        self.on_block: Callable[[str | None], None] | None = None
        # By the number of their channel.
        self.channels_incoming: dict[int, Incoming] = {}
        # For how long what comes may gather in the socket before it is read: a process is not woken for each message.
        self.patience_s = 0.0
        self._heard_at = self.loop.time()
        self._stream: asyncio.StreamWriter | None = None

    @property
    def stream(self) -> asyncio.StreamWriter:
        """Where to write frames, once it is connected."""
        if self._stream is None:
            raise aiormq.exceptions.ConnectionClosed(None, None)
        return self._stream

    @property
    def HEARTBEAT_GRACE_MULTIPLIER(self) -> float:  # type: ignore[override]  # noqa: N802 - aiormq's name
        """What aiormq multiplies (heartbeat + 1) with, to get the seconds of silence that it bears."""
        if not self.heartbeat_timeout:
            return 3.0
        return SILENCE_HEARTBEATS * self.heartbeat_timeout / (self.heartbeat_timeout + 1)

    @property
    def is_connection_was_stuck(self) -> bool:
        """Whether the broker has been silent for too long (aiormq's name)."""
        return self.loop.time() - self._heard_at > self.HEARTBEAT_GRACE_MULTIPLIER * (self.heartbeat_timeout + 1)

    def heard(self) -> None:
        """Something came."""
        self._heard_at = self.loop.time()

    async def rest(self) -> None:
        """Let what comes gather, on a connection that has patience."""
        if not self.patience_s:
            return
        transport = cast("asyncio.Transport", self.stream.transport)
        transport.pause_reading()
        try:
            await asyncio.sleep(self.patience_s)
        finally:
            if not transport.is_closing():
                transport.resume_reading()

    # aiormq has no public way to hear of these two, nor to get at the frames; the names are those of its private
    # methods.

    async def _Connection__reader(self, frame_receiver: FrameReceiver) -> None:  # noqa: N802
        self.heard()
        reader = FrameReader(frame_receiver.reader, self.channels_incoming, self)
        await super()._Connection__reader(reader)  # type: ignore[misc]

    async def _Connection__writer(self, writer: asyncio.StreamWriter) -> None:  # noqa: N802
        self._stream = writer
        # Whoever drains it waits until the system has everything, not only until less than 64 KiB are left.
        writer.transport.set_write_buffer_limits(0)
        await super()._Connection__writer(writer)  # type: ignore[misc]

    async def _Connection__handle_connection_blocked(self, frame: Methods.Blocked) -> None:  # noqa: N802
        await super()._Connection__handle_connection_blocked(frame)  # type: ignore[misc]
        self.blocked = str(frame.reason) if frame.reason else "an alarm"
        self._tell()

    async def _Connection__handle_connection_unblocked(self, frame: Methods.Unblocked) -> None:  # noqa: N802
        await super()._Connection__handle_connection_unblocked(frame)  # type: ignore[misc]
        self.blocked = None
        self.unblocked_at = asyncio.get_running_loop().time()
        self._tell()

    def _tell(self) -> None:
        if self.on_block is not None:
            self.on_block(self.blocked)
