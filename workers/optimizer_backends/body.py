"""The body of a request, which notes when it is written to the socket."""

import time
from collections.abc import Callable
from io import BytesIO

import aiohttp
from aiohttp.abc import AbstractStreamWriter

WRITTEN_AT_ONCE_BYTES = 512 * 1024


class Written:
    """When the request was last written to: `time.monotonic()`, or None. `tell` is called when this begins."""

    __slots__ = ("at", "tell")

    def __init__(self, tell: Callable[[], None] | None) -> None:
        self.at: float | None = None
        self.tell = tell

    def begins(self) -> None:
        """From now on a part of the request may be at the backend."""
        self.at = time.monotonic()
        if self.tell is not None:
            self.tell()

    def ends(self) -> None:
        """A request counts when it has arrived as a whole: its headers wait for its body."""
        self.at = time.monotonic()


class _Noted(aiohttp.Payload):
    def __init__(self, body: bytes | BytesIO, written: Written) -> None:
        super().__init__(body)
        self._written = written

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._written.begins()
        await super().write_with_length(writer, content_length)
        self._written.ends()


class _Body(_Noted, aiohttp.BytesPayload):
    """Written at once."""


class _LargeBody(_Noted, aiohttp.BytesIOPayload):
    """Written in pieces."""


def noted(body: bytes, written: Written) -> aiohttp.Payload:
    """A body to send. A large one goes out in pieces: aiohttp writes bytes at once, which would hold up all others."""
    return _Body(body, written) if len(body) <= WRITTEN_AT_ONCE_BYTES else _LargeBody(BytesIO(body), written)
