"""What every way to tell people has in common."""

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol

from optimizer_ops.alerts.message import Message


class NotTold(Exception):
    """A message could not be told; the reason is a sentence without any secret."""


class PartlyTold(NotTold):
    """Some were told and some were not; telling all of them again would be worse."""


class Teller(Protocol):
    """A way to tell people."""

    async def tell(self, message: Message) -> None:
        """Tell one message; it may take longer than is good for whoever waits.

        :raises NotTold: if it could not be told.
        """


async def in_thread(work: Callable[[], None]) -> None:
    """Do something that blocks in a thread that does not keep a process from its end, as those of a pool do."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001 - it is raised where it is waited for
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name="alert sink", daemon=True).start()
    await done
