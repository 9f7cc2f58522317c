"""The recorder on one session after another: takes events in batches, and acks what is in the history.

::

    optimizer.events.recorder ─► inbox ─► batch (one transaction) ─► ack

An event is acked once its transaction is committed. What is delivered again after that changes nothing, because each
source numbers its events. Of several recorders RabbitMQ lets one have the events; the others stand by.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiormq.abc import DeliveredMessage

from optimizer_ops.recorder.metrics import REFUSED, WAITING
from optimizer_ops.recorder.writer import Writer
from optimizer_service.lifetime import first_of
from optimizer_service.logs import Logger
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.channel import Channel
from optimizer_wire.codec import decode
from optimizer_wire.deliveries import delivery_of
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.events import Event
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, recorder_topology

# A batch is written when it has so many events, or has waited for so long.
BATCH_MAX = 1_000
BATCH_WAIT_S = 0.25
# The next batch comes in while one is written.
PREFETCH = 3 * BATCH_MAX
LOOK_S = 2.0
_DRAIN_S = 10.0


class Recorder:
    """One recorder process. `serving` says whether it is connected and would get events."""

    def __init__(self, names: Names, writer: Writer, stop: asyncio.Event, log: Logger) -> None:
        self._names = names
        self._writer = writer
        self._stop = stop
        self._log = log
        self.serving = False

    async def serve(self, session: Session) -> None:
        """Record until the session is lost or the process is asked to stop; then write what was taken."""
        channel = await session.channel()
        await session.declare(recorder_topology(self._names))
        shift = _Shift(self._writer, session, channel, self._log)
        queue = self._names.recorder
        tag = await channel.consume(queue, shift.deliver, prefetch=PREFETCH, on_cancel=session.lost.set)
        self.serving = True
        self._log.info("ready", queue=queue)
        work = [asyncio.ensure_future(each) for each in (shift.work(), self._watch(session))]
        try:
            await first_of(self._stop, session.lost)
            if not session.lost.is_set():
                await shift.drain(tag)
        finally:
            self.serving = False
            shift.abandon()
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _watch(self, session: Session) -> None:
        """See how much waits, and say in the history that a recorder lives."""
        while True:
            try:
                depth = (await session.depths([self._names.recorder])).get(self._names.recorder)
            except BrokerUnavailable:
                session.lost.set()
                return
            self._writer.waiting = depth.ready if depth else 0
            WAITING.set(self._writer.waiting)
            await self._writer.beat()
            await asyncio.sleep(LOOK_S)


class _Shift:
    """The work on one session."""

    def __init__(self, writer: Writer, session: Session, channel: Channel, log: Logger) -> None:
        self._writer = writer
        self._session = session
        self._channel = channel
        self._log = log
        self._inbox: list[DeliveredMessage] = []
        self._filled = asyncio.Event()
        self._full = asyncio.Event()
        self._idle = asyncio.Event()
        self._draining = self._abandoned = False

    def deliver(self, message: DeliveredMessage) -> None:
        """Take one message off the channel."""
        self._inbox.append(message)
        self._filled.set()
        if len(self._inbox) >= BATCH_MAX:
            self._full.set()

    async def work(self) -> None:
        """Write batch after batch until cancelled; a lost connection ends it quietly."""
        try:
            while True:
                self._idle.set()
                await self._filled.wait()
                self._idle.clear()
                if not self._draining:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._full.wait(), BATCH_WAIT_S)
                await self._handle(self._take())
        except BrokerUnavailable:
            self._session.lost.set()
        except Exception:  # noqa: BLE001 - whatever it was, what was taken is to be delivered again
            self._log.exception("batch failed")
            self._session.lost.set()

    async def drain(self, tag: str) -> None:
        """Take nothing more, and write what was taken, as far as that is soon."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._channel.stop_consuming(tag)
                self._draining = True
                self._full.set()
                while self._inbox or not self._idle.is_set():  # noqa: ASYNC110 - once in a life
                    await asyncio.sleep(0.01)
                await self._channel.flush()
        except (TimeoutError, BrokerUnavailable):
            self._log.warning("left in the queue", events=len(self._inbox))

    def abandon(self) -> None:
        """What is not written by now is delivered again."""
        self._abandoned = True

    def _take(self) -> list[DeliveredMessage]:
        taken, self._inbox = self._inbox[:BATCH_MAX], self._inbox[BATCH_MAX:]
        if not self._inbox:
            self._filled.clear()
        if len(self._inbox) < BATCH_MAX and not self._draining:
            self._full.clear()
        return taken

    async def _handle(self, messages: Sequence[DeliveredMessage]) -> None:
        batch = [event for message in messages if (event := self._read(message)) is not None]
        new = await self._writer.write(batch, lambda: self._abandoned or self._session.lost.is_set()) if batch else []
        if new is None:
            return
        for message in messages:
            await self._channel.ack(delivery_of(message)[0])

    def _read(self, message: DeliveredMessage) -> Event | None:
        try:
            return decode(message.body, Event)
        except InvalidRequest as error:
            REFUSED.inc()
            self._log.error("event not understood", reason=str(error)[:300])
            return None
