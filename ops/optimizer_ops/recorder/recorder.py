"""The recorder on one session after another: takes events in batches, and acks what is in the history.

::

    optimizer.events.recorder ─► inbox ─► batch (one transaction) ─► ack

A message has the events that a process told in one turn of its loop (`journal.py`). It is acked once its transaction is
committed. What is delivered again after that changes nothing, because each source numbers its events. Of several
recorders RabbitMQ lets one have the events; the others stand by.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from optimizer_ops.recorder.metrics import REFUSED, WAITING
from optimizer_ops.recorder.writer import Writer
from optimizer_service.lifetime import first_of
from optimizer_service.logs import Logger
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.cancellation import end, set_within
from optimizer_wire.channel import Channel
from optimizer_wire.deliveries import Delivery
from optimizer_wire.events import Event
from optimizer_wire.journal import told_in
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, former_recorder_binding, recorder_topology

# A batch is written when it has so many bytes (of some 500 an event) or messages, or has waited for so long.
BATCH_BYTES = 1024 * 1024
BATCH_MESSAGES = 1_000
BATCH_WAIT_S = 0.25
# A transaction costs as much as some hundred events in it: the longer they take, the rarer they are. So a recorder that
# keeps up spends a twentieth of its time on them.
WAIT_BY_WRITING = 20
LONGEST_WAIT_S = 1.0
# The next batch comes in while one is written. At most 32 MiB are in hand (`JOURNAL_MESSAGE_BYTES`).
PREFETCH = 2 * BATCH_MESSAGES
LOOK_S = 2.0
# Woken for each message it would take the caches of those that agents wait for.
PATIENCE_S = 0.2
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
        await channel.unbind(former_recorder_binding(self._names))
        shift = _Shift(self._writer, session, channel, self._log)
        queue = self._names.recorder
        tag = await channel.consume(queue, shift.deliver, prefetch=PREFETCH, on_cancel=session.lost.set)
        session.be_patient(PATIENCE_S)
        self.serving = True
        self._log.info("ready", queue=queue)
        work = [asyncio.ensure_future(each) for each in (shift.work(), self._watch(session, shift))]
        try:
            await first_of(self._stop, session.lost)
            if not session.lost.is_set():
                await shift.drain(tag)
        finally:
            self.serving = False
            shift.abandon()
            await end(work)

    async def _watch(self, session: Session, shift: "_Shift") -> None:
        """See about how much waits, and say in the history that a recorder lives."""
        while True:
            try:
                depth = (await session.depths([self._names.recorder])).get(self._names.recorder)
            except BrokerUnavailable:
                session.lost.set()
                return
            self._writer.waiting = round(depth.ready * shift.events_a_message) if depth else 0
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
        self._inbox: deque[Delivery] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._full = asyncio.Event()
        self._idle = asyncio.Event()
        self._draining = self._abandoned = False
        self._wait_s = BATCH_WAIT_S
        # By the last batch: RabbitMQ tells how many messages wait, and people want to know of events.
        self.events_a_message = 1.0

    def deliver(self, message: Delivery) -> None:
        """Take one message off the channel."""
        self._inbox.append(message)
        self._bytes += len(message.body)
        self._filled.set()
        if self._is_full():
            self._full.set()

    async def work(self) -> None:
        """Write batch after batch until cancelled; a lost connection ends it quietly."""
        try:
            while True:
                self._idle.set()
                await self._filled.wait()
                self._idle.clear()
                if not self._draining:
                    await set_within(self._full, self._wait_s)
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
            self._log.warning("left in the queue", messages=len(self._inbox))

    def abandon(self) -> None:
        """What is not written by now is delivered again."""
        self._abandoned = True

    def _is_full(self) -> bool:
        return self._bytes >= BATCH_BYTES or len(self._inbox) >= BATCH_MESSAGES

    def _take(self) -> list[Delivery]:
        taken: list[Delivery] = []
        size = 0
        while self._inbox and size < BATCH_BYTES and len(taken) < BATCH_MESSAGES:
            taken.append(self._inbox.popleft())
            size += len(taken[-1].body)
        self._bytes -= size
        if not self._inbox:
            self._filled.clear()
        if not self._is_full() and not self._draining:
            self._full.clear()
        return taken

    async def _handle(self, messages: Sequence[Delivery]) -> None:
        began = time.monotonic()
        batch = [event for message in messages for event in self._read(message)]
        self.events_a_message = max(1.0, len(batch) / len(messages))
        new = await self._writer.write(batch, lambda: self._abandoned or self._session.lost.is_set()) if batch else []
        if new is None:
            return
        for message in messages:
            await self._channel.ack(message.tag)
        self._wait_s = min(max(BATCH_WAIT_S, WAIT_BY_WRITING * (time.monotonic() - began)), LONGEST_WAIT_S)

    def _read(self, message: Delivery) -> list[Event]:
        told, wrong = told_in(message.body)
        for error in wrong:
            REFUSED.inc()
            self._log.error("event not understood", reason=str(error)[:300])
        return told
