"""Whether RabbitMQ takes messages: one that is low on memory or disk is there, and takes none."""

import asyncio
from contextlib import suppress

from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.channel import Channel
from optimizer_wire.frames import Properties
from optimizer_wire.ids import new_id
from optimizer_wire.messages import PING_TYPE
from optimizer_wire.session import Session
from optimizer_wire.topology import Names

ALARM_S = 1.0


class AlarmProbe:
    """Asks on a connection of its own: RabbitMQ tells of an alarm only who publishes, and reads nothing more from it.

    What is published goes to no queue. A user who may not publish to queues is never told of an alarm: `refused`.
    """

    def __init__(self, url: str, names: Names) -> None:
        self._url = url
        self._key = f"{names.self_checks}nobody"
        self._session: Session | None = None
        self._channel: Channel | None = None
        self._told = asyncio.Event()
        self.refused = False

    async def reason(self, *, timeout_s: float) -> str | None:
        """Why RabbitMQ takes no messages now; None if it does, or if nobody can know.

        :raises BrokerUnavailable: if it cannot be reached.
        """
        if self.refused:
            return None
        session = await self._opened(timeout_s)
        if session.blocked or self._channel is None:
            return session.blocked
        self._told.clear()
        self._channel.publish("", self._key, b"", Properties(PING_TYPE, new_id(), content_type="text/plain"))
        await self._answered(self._channel)
        self.refused = session.refused is not None
        return session.blocked

    async def close(self) -> None:
        """Close the connection."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(BrokerUnavailable):
                await session.close()

    async def _opened(self, timeout_s: float) -> Session:
        if self._session is None or self._session.lost.is_set():
            await self.close()
            self._session = session = await Session.open(self._url, "optimizer alarm probe", timeout_s=timeout_s)
            session.on_block(lambda _: self._told.set())
            self._channel = await session.channel()
        return self._session

    async def _answered(self, channel: Channel) -> None:
        """Wait until the broker has read the message, or says that it reads none."""
        waits = [asyncio.ensure_future(channel.flush()), asyncio.ensure_future(self._told.wait())]
        try:
            await asyncio.wait(waits, timeout=ALARM_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
