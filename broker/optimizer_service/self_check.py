"""Notices a process that is connected to RabbitMQ and gets nothing: it writes to itself, by the way its work comes.

::

    every interval ─► ping ─► broker ─► own queue ─► the channel that the work comes on ─► came
                       │
                       └─ did not come back: a miss; two in a row ─► the process leaves, to be started anew

And it asks the broker whether the queues that the process consumes still have a consumer: one whose end was never told
is mended by connecting again.
"""

import asyncio
from collections.abc import Callable, Collection

from optimizer_service.logs import Logger
from optimizer_service.metrics import SELF_CHECKS_FAILED
from optimizer_service.queue_check import QueueCheck, consumers_of
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.channel import Channel
from optimizer_wire.frames import Properties
from optimizer_wire.ids import new_id
from optimizer_wire.messages import PING_TYPE
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, self_check_queue

MISSES = 2
# Another process may have got what this one should have: that is to be known sooner.
QUEUES_SOONER = 10
# A consumer that is just being started or stopped is no fault.
SECOND_LOOK_S = 1.0


class NotConsuming(Exception):
    """The process is connected and gets nothing; only a new one can be trusted to. The message is for people."""


class Pings:
    """Which pings have come back. No I/O."""

    def __init__(self) -> None:
        self._sent = 0
        self._came = 0
        self.missed = 0

    def send(self) -> int:
        """The number of the next ping."""
        self._sent += 1
        return self._sent

    def came(self, number: int) -> None:
        """A ping came back."""
        self._came = max(self._came, number)

    def judge(self, *, excused: bool) -> bool:
        """Whether too many in a row are missing now; `excused`: the broker takes no messages, and says so."""
        self.missed = 0 if excused or self._came >= self._sent else self.missed + 1
        return self.missed >= MISSES


class SelfCheck:
    """The self-check of one session; `consumed` says which queues the process consumes at the moment."""

    def __init__(
        self,
        session: Session,
        channel: Channel,
        confirms: Channel,
        names: Names,
        consumed: Callable[[], Collection[str]],
        interval_s: float,
        log: Logger,
    ) -> None:
        self._session = session
        self._channel = channel
        # A name of this session alone: an exclusive queue of the last one may not be gone yet.
        self._queue = self_check_queue(names, new_id())
        self._consumed = consumed
        self._interval_s = interval_s
        self._log = log
        self._pings = Pings()
        self._queues = QueueCheck(session, channel, confirms, consumed, interval_s / QUEUES_SOONER, log)
        self.failure: NotConsuming | None = None

    @property
    def flowing(self) -> bool:
        """Whether the last ping has come back in time, or the broker said why not."""
        return self._pings.missed == 0

    async def start(self) -> None:
        """Let pings come, on the channel that the work comes on.

        :raises BrokerUnavailable: if the connection is gone.
        """
        await self._channel.declare_queue(self._queue)
        await self._channel.consume(
            self._queue.name,
            lambda message: self._pings.came(int(message.body)),
            no_ack=True,
            on_cancel=self._session.lost.set,
        )

    async def watch(self) -> None:
        """Check until cancelled. What it finds ends the session; `failure` is set if the process is to leave."""
        checks = [asyncio.ensure_future(self._watch_itself()), asyncio.ensure_future(self._queues.watch())]
        try:
            await asyncio.wait(checks, return_when=asyncio.FIRST_COMPLETED)
            for check in checks:
                if check.done():
                    check.result()
        except BrokerUnavailable as error:
            if not self._session.lost.is_set():
                self._log.warning("self-check failed", reason=str(error))
        finally:
            for check in checks:
                check.cancel()
        self._session.lost.set()

    async def settle(self) -> None:
        """Before the end of consuming: leave no ping behind in a queue of work."""
        await self._queues.settle()

    async def _watch_itself(self) -> None:
        while await self._is_well():
            pass

    async def _is_well(self) -> bool:
        number = self._pings.send()
        self._channel.publish(
            "", self._queue.name, b"%d" % number, Properties(PING_TYPE, new_id(), content_type="text/plain")
        )
        await asyncio.sleep(self._interval_s)
        leaving = self._pings.judge(excused=self._session.blocked is not None)
        if self._pings.missed:
            SELF_CHECKS_FAILED.inc()
        if leaving:
            self.failure = NotConsuming(
                f"RabbitMQ is connected, but no message of this process to itself has come back for "
                f"{MISSES * self._interval_s:g} s: it would get no work either. It leaves, to be started anew."
            )
            return False
        # While the broker has an alarm it answers nothing on a connection that has published.
        return self._session.blocked is not None or not await self._forgotten()

    async def _forgotten(self) -> bool:
        """Whether a queue that this process consumes has no consumer."""
        missing = await self._without_consumer()
        if missing:
            await asyncio.sleep(SECOND_LOOK_S)
            missing &= await self._without_consumer()
        if missing:
            SELF_CHECKS_FAILED.inc()
            self._log.warning("consumers are gone", queues=sorted(missing), then="connecting again")
        return bool(missing)

    async def _without_consumer(self) -> set[str]:
        found = {queue for queue in tuple(self._consumed()) if await consumers_of(self._session, queue) == 0}
        return found & set(self._consumed())
