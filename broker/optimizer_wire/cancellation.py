"""Waiting and ending such that no cancellation is lost.

`asyncio.wait_for` of Python 3.11 loses one that comes at the moment at which what it waits for is there: the task goes
on, and whoever waits for its end waits for ever. It is not to be used here (ruff's TID251), but libraries do.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

# What tidies up when it is cancelled has that long before it is cancelled again.
AGAIN_S = 3.0


async def set_within(event: asyncio.Event, within_s: float) -> bool:
    """Wait for an event; whether it was set in time."""
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def end(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancel tasks, again and again until all have ended. What they ended with is nobody's concern any more."""
    ended, pending = set[asyncio.Future[Any]](), set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=AGAIN_S)
        ended |= done
    for task in ended:
        # Else asyncio complains that nobody has looked.
        task.cancelled() or task.exception()
