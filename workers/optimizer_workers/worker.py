"""The worker process of one backend: its parts, and its life on one session after another."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass

from optimizer_config.model import Waits
from optimizer_service.crash_points import crash_point
from optimizer_service.lifetime import every, first_of, tell_blocked
from optimizer_service.logs import Logger
from optimizer_service.self_check import SelfCheck
from optimizer_state.budget import Budget
from optimizer_state.flights import RENEW_S, Flights
from optimizer_state.forgotten import Forgotten
from optimizer_state.learned import EXCHANGE_S, Learned
from optimizer_state.places import Places
from optimizer_state.presence import HEARTBEAT_S, Presence
from optimizer_state.quotas import Quotas
from optimizer_state.store import RedisAway, Store
from optimizer_state.turns import Turns
from optimizer_wire import events
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.cancellation import end
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import Priority
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, backend_topology, shared_topology
from optimizer_workers.allowance import Allowance
from optimizer_workers.consumption import PREFETCH, Consumption
from optimizer_workers.desk import Desk
from optimizer_workers.ending import Ending
from optimizer_workers.estimate import request_chars
from optimizer_workers.execution import Execution
from optimizer_workers.fair_queue import Agent
from optimizer_workers.fleet import Fleet
from optimizer_workers.forgetting import LOOK_S as FORGET_S
from optimizer_workers.forgetting import Forgetting
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.mates import Mates
from optimizer_workers.mover import Mover
from optimizer_workers.planner import Planner
from optimizer_workers.pump import Pump
from optimizer_workers.repeats import Repeats
from optimizer_workers.reporter import Reporter
from optimizer_workers.rest import Rest
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.tasks import Tasks
from optimizer_workers.undelivered import RETRY_S, Undelivered
from optimizer_workers.unstored import LOOK_S as STORE_S
from optimizer_workers.unstored import Unstored
from optimizer_workers.upstream import Upstream
from optimizer_workers.waiting import Waiting

LOOK_AHEAD_S = 0.25
REPEATS_S = 0.25


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker works with. `weight` is an agent's in fair sharing."""

    upstream: Upstream
    budget: Budget
    allowance: Allowance
    learned: Learned
    repeats: Repeats
    quotas: Quotas
    weight: Callable[[Agent], float]
    waits: Waits = Waits()


class Worker:
    """One worker process of one backend."""

    def __init__(
        self, store: Store, names: Names, parts: Parts, instance: str, stop: asyncio.Event, log: Logger
    ) -> None:
        self._store = store
        self._parts = parts
        self._backend = parts.upstream.backend
        self._presence = Presence(self._backend.name, instance)
        self._fleet = Fleet(store, self._presence, parts.budget)
        self._mates = Mates(store, self._fleet, names, instance, log)
        parts.budget.may_go_alone = self._mates.may_go_alone
        self._instance = instance
        self._stop = stop
        self._log = log
        self._link = Link(names, store)
        self._scheduler = Scheduler(parts.weight)
        self._reporter = Reporter(self._backend.name, f"worker/{self._backend.name}/{instance}")
        self._planner = Planner(self._backend, self._scheduler, parts.upstream.latency, parts.allowance)
        flights = Flights(store)
        self._undelivered = Undelivered(store, self._link)
        self._places = Places(store)
        turns = Turns(store)
        desk = Desk(self._link, self._scheduler, self._fleet, turns, parts.quotas, self._undelivered, store.clock)
        self._unstored = Unstored(store, flights, self._link)
        ending = Ending(desk, flights, self._unstored, self._reporter, store.clock)
        execution = Execution(desk, flights, parts.upstream, parts.repeats, ending, self._reporter, store.clock)
        self._tasks = tasks = Tasks(ending, self._link, log)
        mover = Mover(self._scheduler, self._link, self._fleet, self._reporter, tasks, store.clock)
        self._waiting = Waiting(
            self._scheduler,
            self._planner,
            mover,
            execution,
            flights,
            self._reporter,
            self._link,
            tasks,
            store.clock,
            parts.waits.hold_s,
        )
        self._forgetting = Forgetting(Forgotten(store), self._scheduler, execution, tasks)
        self._pump = Pump(
            self._backend,
            self._scheduler,
            parts.allowance,
            execution,
            self._planner,
            self._waiting,
            mover,
            self._reporter,
            self._link,
            tasks,
            store.clock,
        )
        self.serving = False
        self.blocked: str | None = None
        self._check: SelfCheck | None = None

    @property
    def flowing(self) -> bool:
        """Whether messages come through to this process, or it has no connection and works on one."""
        return self._check is None or self._check.flowing

    async def serve(self, session: Session) -> None:
        """Serve on one session until it is lost or the process is asked to stop; then finish what runs."""
        names = self._link.names
        channel = await session.channel()
        await session.declare(shared_topology(names))
        await session.declare(backend_topology(names, [self._backend.name]))
        self._link.connect(session, channel, await session.channel(confirms=True))
        queues = [names.call_queue(self._backend.name, priority) for priority in Priority]
        consumption = Consumption(
            channel, self._instance, self._link.stage, queues, self._take, self._refuse, on_cancel=session.lost.set
        )
        await self._mates.open(session, channel)
        await self._mates.greet()
        await consumption.start()

        def consumed() -> Collection[str]:
            room = len(self._scheduler) + len(self._tasks.running) < PREFETCH
            return consumption.queues if room else ()

        check = SelfCheck(
            session, channel, self._link.calls, names, consumed, self._parts.waits.self_check_s, self._log
        )
        await check.start()
        self._check = check
        session.on_block(self._told_blocked)
        self.serving = True
        self._log.info("ready", concurrency=self._backend.concurrency)
        await self._reporter.worker(
            self._link.outbox, events.WORKER_STARTED, f"{self._backend.concurrency} calls at once"
        )
        rest = Rest(consumption, self._planner, self._waiting, self._fleet, self._mates, self._store.clock, self._log)
        pumping, *others = loops = [
            asyncio.ensure_future(self._guard(loop))
            for loop in (self._pump.work(rest), self._waiting.tend(), rest.watch(), self._mates.watch(), check.watch())
        ]
        try:
            await first_of(self._stop, session.lost)
            if not session.lost.is_set():
                # What rests would begin to consume again.
                for loop in others:
                    loop.cancel()
                await check.settle()
                await self._drain(consumption, pumping)
        finally:
            self.serving = False
            self.blocked = None
            self._check = None
            for loop in loops:
                loop.cancel()
            # What was not begun comes again with another delivery.
            self._scheduler.take_all()
        if check.failure is not None:
            raise check.failure

    def _told_blocked(self, why: str | None) -> None:
        self.blocked = why
        tell_blocked(self._log, why)

    async def finish(self) -> None:
        """Let what runs come to its end, without a connection: the outcomes wait in Redis for the next delivery."""
        if self._tasks.running:
            await asyncio.wait(self._tasks.running, timeout=self._parts.waits.drain_s)

    async def leave(self) -> None:
        """Cancel what still runs, and tell the fleet that this worker stops."""
        await end(self._tasks.running)
        await self._parts.learned.exchange()
        await self._fleet.leave()

    async def _drain(self, consumption: Consumption, pumping: Awaitable[None]) -> None:
        """Take nothing new, hand back what was not begun, finish what runs; for so long, whatever RabbitMQ does."""
        try:
            async with asyncio.timeout(self._parts.waits.drain_s):
                self._pump.stop()
                await pumping
                await consumption.stop()
                await self._hand_back()
                while self._tasks.running:
                    await asyncio.wait(self._tasks.running)
                await self._hand_back()
                await self._reporter.worker(self._link.outbox, events.WORKER_STOPPED, "drained")
                await self._link.channel.flush()
        except (TimeoutError, BrokerUnavailable):
            self._log.warning("left undone", calls=len(self._tasks.running))
            with suppress(BrokerUnavailable):
                await self._hand_back()

    async def _hand_back(self) -> None:
        for job in self._scheduler.take_all():
            await self._link.channel.requeue(job.tag)

    async def _guard(self, loop: Awaitable[None]) -> None:
        """A lost connection ends a loop quietly; anything else is a fault to be seen. Both end the session."""
        try:
            await loop
        except BrokerUnavailable:
            pass
        except Exception:  # noqa: BLE001 - whatever it was, another worker must get what this one holds
            self._log.exception("worker loop failed")
        else:
            return
        self._link.give_up()

    # ── taking calls ─────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, job: Job) -> None:
        crash_point("worker.after_receive")
        job.chars = request_chars(job.call.params)
        self._parts.allowance.estimate(job)
        self._pump.take(job)

    def _refuse(self, tag: int, error: OptimizerError) -> None:
        self._tasks.spawn_alone(self._misunderstood(tag, error))

    async def _misunderstood(self, tag: int, error: OptimizerError) -> None:
        """Tell the fleet, and keep the message among the dead letters."""
        with suppress(BrokerUnavailable):
            await self._reporter.misunderstood(self._link.outbox, error)
            await self._link.channel.reject(tag)

    # ── in the background, whether connected to RabbitMQ or not ──────────────────────────────────────────────────

    async def beat_for_ever(self) -> None:
        """Tell that this worker lives, and keep Redis and its own view of it fresh, until cancelled."""
        await asyncio.gather(
            every(HEARTBEAT_S, self._beat),
            every(LOOK_AHEAD_S, self._look_ahead),
            every(self._parts.budget.remind_s, self._parts.budget.remind),
            every(REPEATS_S, self._parts.repeats.remind),
            every(RENEW_S, self._keep),
            every(STORE_S, self._unstored.store),
            every(EXCHANGE_S, self._learn),
            every(FORGET_S, self._forgetting.look),
            every(RETRY_S, self._undelivered.deliver),
        )

    async def _beat(self) -> None:
        in_touch = await self._fleet.beat()
        if in_touch:
            await self._mates.greet()
        await self._undelivered.remind([*self._scheduler.held(), *self._pump.begun])

    async def _look_ahead(self) -> None:
        """Plan anew, and tell the others what comes of it: what is old sends calls to where they wait longer."""
        if self.serving:
            self._waiting.plan()
        self._fleet.own = self._planner.outlook(self._store.clock.now_ms())
        await self._fleet.exchange()
        with suppress(RedisAway):
            if await self._places.wanted():
                await self._places.tell(self._presence, self._planner.places())

    async def _learn(self) -> None:
        await self._parts.learned.exchange()

    async def _keep(self) -> None:
        with suppress(RedisAway):
            await self._parts.budget.keep()
