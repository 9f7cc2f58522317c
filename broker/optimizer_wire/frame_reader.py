"""The frames of one connection, read from its socket: many at a time, and most of them handled at once."""

import asyncio
from collections.abc import Mapping
from struct import Struct
from typing import Protocol, Self

import aiormq.exceptions
import pamqp.exceptions
import pamqp.frame
from aiormq.connection import ReceivedFrame

from optimizer_wire.incoming import Incoming

READ_BYTES = 1 << 18
# After less than this, there was no more.
MUCH_BYTES = 1 << 16
_HEAD = Struct(">BHI")
_END = 0xCE


class Listener(Protocol):
    """Whose frames they are: told whenever anything came, and asked to rest (or not) when there is no more."""

    def heard(self) -> None:
        """Something came."""

    async def rest(self) -> None:
        """Let what comes next gather for a while."""


class FrameReader:
    """Gives aiormq the frames that no channel takes itself (`Incoming`); in the place of aiormq's `FrameReceiver`.

    Iterating raises what aiormq's own raises when the connection is gone.
    """

    def __init__(self, reader: asyncio.StreamReader, channels: Mapping[int, Incoming], listener: Listener) -> None:
        self._reader = reader
        self._channels = channels
        self._listener = listener
        self._more = True
        self._buffer = b""
        self._at = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ReceivedFrame:
        while True:
            frame = self._next()
            if frame is not None:
                return frame
            await self._read()

    def _next(self) -> ReceivedFrame | None:
        """The next frame for aiormq among those that are there as a whole; None if there is none."""
        buffer, at, channels = self._buffer, self._at, self._channels
        # The last byte of a frame is one more than its head and payload.
        last = len(buffer) - _HEAD.size - 1
        while at <= last:
            kind, number, size = _HEAD.unpack_from(buffer, at)
            start = at + _HEAD.size
            end = start + size
            if end >= len(buffer):
                break
            if buffer[end] != _END:
                raise aiormq.exceptions.InvalidFrameError("A frame does not end where it says.")
            channel = channels.get(number)
            if channel is None or not channel.take(kind, buffer, start, end):
                self._at = end + 1
                return _decoded(buffer[at : end + 1])
            at = end + 1
        self._at = at
        return None

    async def _read(self) -> None:
        if not self._more:
            await self._listener.rest()
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise aiormq.exceptions.AMQPConnectionError(f"Server communication error: {error!r}") from error
        if not data:
            raise aiormq.exceptions.AMQPConnectionError("Server connection unexpectedly closed.")
        self._listener.heard()
        self._more = len(data) >= MUCH_BYTES
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0


def _decoded(frame: bytes) -> ReceivedFrame:
    try:
        return pamqp.frame.unmarshal(frame)
    except pamqp.exceptions.PAMQPException as error:
        raise aiormq.exceptions.InvalidFrameError(str(error)) from error
