"""What a coordinator does on one session: batches of requests in, decisions out.

::

    optimizer.requests ─► inbox ─► receive ─► admit (one round trip) ─┬─ hit, known ─► reply, ack
                                      │                               ├─ join ───────► (publish again,) ack
                                      │                               ├─ lead ───────► gate, publish the call, ack
                                      └─ not understood ─► reply error, reject        └─ gone ─► reply error, ack
                                                           (kept in optimizer.dead)

A reply is published on the request's channel before the request's ack: the broker handles a channel in order, so that a
request whose ack was handled has been answered. A call is published with a confirm before its request is acked.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from optimizer_coordinator.acting import Acting
from optimizer_coordinator.background import Background
from optimizer_coordinator.custody import LOOK_S
from optimizer_coordinator.dispatch import Dispatcher
from optimizer_coordinator.gate import Gate
from optimizer_coordinator.intake import Envelope, Intake, Lookup, Reception
from optimizer_coordinator.leading import Leading
from optimizer_coordinator.line import Barrier
from optimizer_coordinator.lookups import Lookups
from optimizer_coordinator.metrics import ADMISSION, BATCH, handled
from optimizer_coordinator.sending_back import SendingBack, origin_of
from optimizer_coordinator.settling import Settling
from optimizer_coordinator.snapshot import Snapshot
from optimizer_coordinator.speaker import Speaker
from optimizer_coordinator.submitted import Submitted
from optimizer_coordinator.traced import traced
from optimizer_coordinator.turns import TurnBarrier
from optimizer_service.crash_points import crash_point
from optimizer_service.logs import Logger
from optimizer_service.outbox import Outbox
from optimizer_state.admission import Admitted, Lead
from optimizer_state.flights import Flights, flight_by_chance
from optimizer_state.mailboxes import Mailboxes
from optimizer_state.store import RedisAway, Store
from optimizer_state.turns import Turns
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.channel import Channel
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import FETCH_TYPE
from optimizer_wire.session import Session
from optimizer_wire.topology import Names
from optimizer_wire.tracing import traceparent_in

BATCH_MAX = 256
# Of a coordinator's prefetch; beyond it a queue may rightly give nothing more.
ROOM = 1_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What outlives a session. `source` names this coordinator in events; `drain_s` is how long it may take to end,
    `hold_s` how long a request may wait here before RabbitMQ gets its message back. `served` are the backends whose
    queues must exist.

    `barriers` is what a request may have to wait for at the gate after its turn, in this order.
    """

    names: Names
    reception: Reception
    store: Store
    flights: Flights
    barriers: Sequence[Barrier]
    source: str
    drain_s: float
    hold_s: float
    served: Collection[str]


class Stage:
    """The work on one session: its inbox, and what is on its way."""

    def __init__(
        self, parts: Parts, snapshot: Snapshot, session: Session, channel: Channel, calls: Channel, log: Logger
    ) -> None:
        self._reception = parts.reception
        self._flights = parts.flights
        self._clock = parts.store.clock
        self._session = session
        self._channel = channel
        self._log = log
        self._drain_s = parts.drain_s
        self._requests = parts.names.requests
        self._inbox: list[Delivery] = []
        self._filled = asyncio.Event()
        self._background = Background()
        self._busy = False
        outbox = Outbox(channel, parts.names, parts.store)
        self.speaker = Speaker(outbox, parts.source, self._clock)
        self._turns = TurnBarrier(Turns(parts.store), parts.flights, self.speaker, self._clock)
        barriers = (self._turns, *parts.barriers)
        self._gate = Gate(barriers, parts.store, parts.flights, self.speaker, parts.hold_s)
        sending_back = SendingBack(calls, parts.names, session.user, self._clock)
        self._settling = Settling(
            session, channel, parts.store, parts.reception, self.speaker, sending_back, parts.hold_s, self.deliver
        )
        self._submitted = Submitted(Mailboxes(parts.store), self._gate, self._settling)
        self._lookups = Lookups(parts.store, parts.flights, parts.reception, snapshot, outbox)
        leading = Leading(
            parts.reception,
            snapshot,
            self._gate,
            Dispatcher(
                calls, parts.names, parts.reception, snapshot, parts.flights, self.speaker, session, parts.served
            ),
            parts.flights,
            self.speaker,
        )
        self._acting = Acting(session, self._settling, leading, self._turns, self.speaker, self._background, log)

    def deliver(self, message: Delivery) -> None:
        """Take one message off the channel."""
        self._inbox.append(message)
        self._filled.set()

    def consumed(self) -> Collection[str]:
        """The queue of requests, as long as there is room for more of them."""
        held = len(self._inbox) + len(self._background) + len(self._settling.custody)
        return (self._requests,) if held < ROOM else ()

    async def work(self) -> None:
        """Handle batches until cancelled; a lost connection ends it quietly, anything else is a fault to be seen."""
        loops = [asyncio.ensure_future(loop) for loop in (self._batches(), self._watch())]
        try:
            await asyncio.gather(*loops)
        except BrokerUnavailable:
            self._session.lost.set()
        except Exception:  # noqa: BLE001 - whatever it was, another coordinator must get what this one holds
            self._log.exception("batch failed")
            self._session.lost.set()
        finally:
            for loop in loops:
                loop.cancel()

    async def _batches(self) -> None:
        while True:
            await self._filled.wait()
            batch, self._inbox = self._inbox[:BATCH_MAX], self._inbox[BATCH_MAX:]
            if not self._inbox:
                self._filled.clear()
            self._busy = True
            await self._handle(batch)
            self._busy = False

    async def _watch(self) -> None:
        """Look after the submitted requests in custody until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self._settling.custody.look()

    async def drain(self, consumer: str) -> None:
        """Take nothing more of this consumer and finish what was taken, for at most the configured time."""
        try:
            async with asyncio.timeout(self._drain_s):
                await self._channel.stop_consuming(consumer)
                while self._inbox or self._busy or self._background:  # noqa: ASYNC110 - three things, once in a life
                    await asyncio.sleep(0.01)
                await self._channel.flush()
        except (TimeoutError, BrokerUnavailable):
            self._log.warning("left undone", requests=len(self._inbox) + len(self._background))

    async def abandon(self) -> None:
        """Stop what is still on its way; its requests are unacked, so that another coordinator gets them."""
        self._gate.close()
        await self._background.cancel()

    async def _handle(self, batch: Sequence[Delivery]) -> None:
        started = time.perf_counter()
        taken: list[tuple[Delivery, Intake]] = []
        submitted: list[tuple[Delivery, Intake]] = []
        crash_point("coordinator.after_receive")
        for message in batch:
            envelope = _envelope(message, self._session.user, self._clock.now_ms())
            try:
                if envelope.kind == FETCH_TYPE:
                    await self._look_up(message, self._reception.look_up(envelope))
                    continue
                intake = traced(self._reception.receive(envelope))
            except OptimizerError as error:
                await self._settling.refuse(message, envelope, error)
                continue
            if intake.cancel:
                await self._cancel(message, intake)
            elif intake.submitted:
                submitted.append((message, intake))
            else:
                taken.append((message, self._gate.mark(intake)))
        taken += await self._submitted.open(submitted)
        if taken:
            admitted = await self._admit([intake for _, intake in taken])
            crash_point("coordinator.after_admit")
            BATCH.observe(len(taken))
            ADMISSION.observe(time.perf_counter() - started)
            for (message, intake), decision in zip(taken, admitted, strict=True):
                await self._acting.act(message, intake, decision)

    async def _look_up(self, message: Delivery, lookup: Lookup) -> None:
        """Answer a question about a submitted request. Whoever asks asks again, so that nothing is kept for it."""
        self._background.spawn(self._answer(lookup))
        await self._settling.ack(message)

    async def _answer(self, lookup: Lookup) -> None:
        try:
            await self._lookups.answer(lookup)
        except BrokerUnavailable:
            self._session.lost.set()
        except Exception:  # noqa: BLE001 - one question that cannot be answered must not harm its neighbours
            self._log.exception("lookup failed")

    async def _admit(self, intakes: Sequence[Intake]) -> Sequence[Admitted]:
        """Decide; without Redis every request leads a call of its own."""
        try:
            return await self._flights.admit([intake.admission for intake in intakes])
        except RedisAway:
            return [Lead(flight_by_chance()) for _ in intakes]

    async def _cancel(self, message: Delivery, intake: Intake) -> None:
        handled["cancelled"].inc()
        await self._turns.cancelled(intake)
        try:
            await self._flights.cancel(intake.admission.fingerprint, intake.waiter)
        except RedisAway:
            self._log.warning("cancel ignored", reason="redis is away")
        await self.speaker.cancelled(intake)
        await self._settling.ack(message)


def _envelope(message: Delivery, coordinators: str, now_ms: int) -> Envelope:
    properties = message.properties
    user, received_ms = origin_of(properties, coordinators)
    return Envelope(
        message.body,
        properties.message_type,
        properties.reply_to,
        user,
        received_ms or now_ms,
        properties.app_id,
        traceparent_in(properties.headers),
    )
