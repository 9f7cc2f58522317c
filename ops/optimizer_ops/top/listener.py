"""Hears all events on a bounded queue of its own, connecting again when the connection is lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from optimizer_service.lifetime import LONGEST_PAUSE_S
from optimizer_wire.backoff import backoff_s
from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted, TopologyDiffers
from optimizer_wire.codec import decode
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.events import Event
from optimizer_wire.ids import new_id
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, event_queue, topic_pattern

ALL = "optimizer.*"


class Listener:
    """Calls `hear` with every event until it is cancelled. `silence` says why there are none, or is empty."""

    def __init__(self, url: str, prefix: str, hear: Callable[[Event], None]) -> None:
        self._url = url
        self._names = Names(prefix)
        self._hear = hear
        self.silence = "connecting"

    async def listen(self) -> None:
        """Listen for ever.

        :raises NotPermitted: if this user may not hear events.
        """
        attempt = 0
        while True:
            try:
                async with await Session.open(self._url, "optimizer top") as session:
                    await self._consume(session)
                    attempt, self.silence = 0, ""
                    await session.lost.wait()
                self.silence = "the connection to RabbitMQ was lost"
            except NotPermitted:
                raise
            except (BrokerUnavailable, TopologyDiffers) as error:
                self.silence = str(error)
            await asyncio.sleep(backoff_s(attempt, cap_s=LONGEST_PAUSE_S))
            attempt += 1

    async def _consume(self, session: Session) -> None:
        channel = await session.channel()
        queue = event_queue(self._names.event_queue(session.user, new_id()))
        await channel.declare_queue(queue)
        await channel.bind(queue.name, self._names.events, topic_pattern(ALL))
        await channel.consume(queue.name, self._deliver, no_ack=True, on_cancel=session.lost.set)

    def _deliver(self, message: Delivery) -> None:
        # One of a newer version that cannot be read is not shown.
        with suppress(InvalidRequest):
            self._hear(decode(message.body, Event))
