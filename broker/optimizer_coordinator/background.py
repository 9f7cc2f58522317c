"""What a coordinator does beside its batches, on one session: with single requests, for as long as each takes."""

import asyncio
from collections.abc import Awaitable

from optimizer_wire.cancellation import end


class Background:
    """Runs it; its length is how much is on its way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Awaitable[None]) -> None:
        """Do something that ends by itself."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def cancel(self) -> None:
        """Stop all that is on its way."""
        await end(self._running)
