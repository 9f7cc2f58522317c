"""Notices a consumer that is there and gets nothing: the queues that a process consumes are pinged, too.

A queue gives its messages to its consumers in turn. Whoever has put more pings into it than it has consumers, and got
nothing from it since, is passed over: RabbitMQ believes in a consumer that does not work. RabbitMQ 3.10 makes such ones
when a quorum queue is deleted and declared again at once: it ends no consumer, takes it over into the new queue, and
drops what that delivers as long as its numbers are ones that were delivered before.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

from optimizer_service.logs import Logger
from optimizer_wire.broker_errors import BrokerUnavailable, Unroutable
from optimizer_wire.channel import Channel
from optimizer_wire.frames import Properties
from optimizer_wire.ids import new_id
from optimizer_wire.messages import PING_TYPE
from optimizer_wire.session import Session

SHORTEST_S = 0.5
LEAST_PINGS = 2
SETTLE_S = 0.2


async def consumers_of(session: Session, queue: str) -> int | None:
    """How many consumers a queue has; None if RabbitMQ has an alarm: it reads no question then.

    :raises BrokerUnavailable: if the connection is gone, or there is no answer for another reason.
    """
    try:
        return None if session.blocked else await session.consumers(queue)
    except BrokerUnavailable:
        if session.blocked and not session.lost.is_set():
            return None
        raise


class Unanswered:
    """The pings that a queue has, and nothing came from it since. No I/O."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}

    def confirmed(self, queue: str) -> None:
        """The queue has another ping."""
        self._since[queue] = self._since.get(queue, 0) + 1

    def heard(self, queue: str) -> None:
        """Something came from the queue."""
        self._since.pop(queue, None)

    def waits(self, queue: str) -> bool:
        """Whether a ping is in the queue, as far as known."""
        return queue in self._since

    def suspicious(self, queue: str) -> bool:
        """Whether it is worth asking how many consumers the queue has."""
        return self._since.get(queue, 0) >= LEAST_PINGS

    def deaf(self, queue: str, consumers: int) -> bool:
        """Whether one of so many consumers would have had its turn."""
        return self._since.get(queue, 0) > max(consumers, LEAST_PINGS - 1)


class QueueCheck:
    """The check of one session. Pings go out on `confirms`; they and the work come in on `channel`.

    `consumed` says which queues have room for more of their messages in this process.
    """

    def __init__(
        self,
        session: Session,
        channel: Channel,
        confirms: Channel,
        consumed: Callable[[], Collection[str]],
        interval_s: float,
        log: Logger,
    ) -> None:
        self._session = session
        self._channel = channel
        self._confirms = confirms
        self._consumed = consumed
        self._interval_s = max(SHORTEST_S, interval_s)
        self._log = log
        self._unanswered = Unanswered()
        self._on_their_way = 0
        channel.on_delivery = self._unanswered.heard

    async def watch(self) -> None:
        """Check until cancelled; a queue that gives nothing ends the session.

        :raises BrokerUnavailable: if the connection is gone.
        """
        while True:
            await asyncio.sleep(self._interval_s)
            queues = () if self._session.blocked else tuple(self._consumed())
            for queue in queues:
                if self._unanswered.suspicious(queue):
                    consumers = await consumers_of(self._session, queue)
                    if consumers is not None and self._unanswered.deaf(queue, consumers):
                        self._end(queue, "nothing comes from it though it has messages")
                        return
                self._ping(queue)

    async def settle(self) -> None:
        """Wait a moment for pings to come, so that none stays behind when nobody consumes any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while self._on_their_way or any(map(self._unanswered.waits, self._consumed())):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    def _ping(self, queue: str) -> None:
        self._on_their_way += 1

        def told(error: Exception | None) -> None:
            self._on_their_way -= 1
            if error is None:
                self._unanswered.confirmed(queue)
            elif isinstance(error, Unroutable):
                self._end(queue, "it does not exist any more")

        ping = Properties(PING_TYPE, new_id(), content_type="text/plain")
        self._confirms.publish_watched("", queue, b"", ping, told)

    def _end(self, queue: str, why: str) -> None:
        if not self._session.lost.is_set():
            self._log.warning("a queue is lost", queue=queue, reason=why, then="connecting again")
            self._session.lost.set()
