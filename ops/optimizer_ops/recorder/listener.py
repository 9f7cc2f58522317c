"""Who else hears what the recorder records: alerts, for one."""

from collections.abc import Sequence
from typing import Protocol

from optimizer_wire.events import Event


class Listener(Protocol):
    """Hears each event once, in the loop of the recorder. A fault in it is logged and stops nothing.

    Whatever blocks belongs in a thread: meanwhile the next batch is written.
    """

    async def on_events(self, events: Sequence[Event]) -> None:
        """These events are in the history now."""

    async def tick(self) -> None:
        """Some time has passed: once a second, with or without events."""
