"""The way past the optimizer, for when it cannot be reached: straight to the first backend, from this process."""

from typing import Protocol

from optimizer_client.reply import Reply
from optimizer_wire.messages import Request


class DirectCaller(Protocol):
    """Makes one call itself."""

    async def call(self, request: Request) -> Reply:
        """Call the backend; the reply is marked `source="direct"`."""

    async def close(self) -> None:
        """Close connections."""


def direct_caller() -> DirectCaller:
    """The direct caller; it needs the extra `direct` (aiohttp)."""
    raise NotImplementedError
