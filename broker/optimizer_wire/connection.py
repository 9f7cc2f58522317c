"""A connection of aiormq that notices sooner what goes wrong: silence, and a broker that takes no messages.

aiormq gives a silent broker three heartbeats and more, and tells nobody that it has raised an alarm.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import aiormq
from pamqp.commands import Connection as Methods

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

    @property
    def HEARTBEAT_GRACE_MULTIPLIER(self) -> float:  # type: ignore[override]  # noqa: N802 - aiormq's name
        """What aiormq multiplies (heartbeat + 1) with, to get the seconds of silence that it bears."""
        if not self.heartbeat_timeout:
            return 3.0
        return SILENCE_HEARTBEATS * self.heartbeat_timeout / (self.heartbeat_timeout + 1)

    # aiormq has no public way to hear of these two; the names are those of its private methods.

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
