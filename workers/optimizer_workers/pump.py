"""What moves the calls that a worker holds: into execution as budget allows, and out when nobody waits any more."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from optimizer_config.model import Backend
from optimizer_service.logs import Logger
from optimizer_state.budget import Budget, Grant, Wait
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_wire.errors import DeadlineExceeded
from optimizer_wire.ids import new_id
from optimizer_wire.session import BrokerUnavailable
from optimizer_workers.execution import Execution
from optimizer_workers.fleet import Fleet
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.metrics import BUDGET_WAITS, HELD
from optimizer_workers.mover import Mover
from optimizer_workers.reporter import Reporter
from optimizer_workers.scheduler import Scheduler

LONGEST_LOOK_S = 1.0
TELL_WAIT_MS = 1_000
RESERVED_AT_ONCE = 16
# Waits that say nothing about the backend: it is busy, or this Redis is being told what was used.
_ORDINARY = frozenset({"restored", "concurrency"})


class Pump:
    """Begins held calls, the most pressing first; `running` are those on their way."""

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        budget: Budget,
        flights: Flights,
        execution: Execution,
        reporter: Reporter,
        link: Link,
        fleet: Fleet,
        clock: FleetClock,
        log: Logger,
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._budget = budget
        self._flights = flights
        self._execution = execution
        self._reporter = reporter
        self._link = link
        self._clock = clock
        self._log = log
        self._changed = asyncio.Event()
        self._waiting_told = False
        self._mover = Mover(scheduler, link, fleet, reporter, clock, log, self.spawn)
        self.running: set[asyncio.Task[None]] = set()

    def take(self, job: Job) -> None:
        """Hold a call that was delivered."""
        job.held_since_ms = self._clock.now_ms()
        self._scheduler.push(job)
        self._mover.arrived(job)
        self._changed.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the pump, as part of what is on its way."""
        task = asyncio.ensure_future(work)
        self.running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self.running.discard(task)
        self._changed.set()

    async def work(self) -> None:
        """Begin calls until cancelled."""
        while True:
            HELD.labels(self._backend.name).set(len(self._scheduler))
            now_ms = self._clock.now_ms()
            free = self._backend.concurrency - len(self.running)
            job = self._scheduler.next(now_ms) if free > 0 else None
            if job is None:
                await self._change(self._scheduler.wakes_in_ms(now_ms))
            elif job.look_first:
                # Most likely it has been answered, or is running elsewhere: that needs no budget to find out.
                self._scheduler.remove(job)
                self.spawn(self._run(job, None))
            else:
                await self._begin(min(free, self._scheduler.ready(now_ms), RESERVED_AT_ONCE))

    async def _begin(self, count: int) -> None:
        """Reserve budget for some calls in one round trip, and begin as many as were granted."""
        verdicts = await asyncio.gather(*(self._budget.reserve(new_id()) for _ in range(count)))
        waits = [verdict for verdict in verdicts if isinstance(verdict, Wait)]
        for verdict in verdicts:
            if isinstance(verdict, Grant):
                await self._begin_one(verdict)
        if len(waits) < len(verdicts):
            self._waiting_told = False
            return
        shortest = min(waits, key=lambda wait: wait.ms)
        await self._tell_waiting(shortest)
        self._mover.dry(shortest.ms)
        await asyncio.sleep(min(max(shortest.ms, 1) / 1000, LONGEST_LOOK_S))

    async def _begin_one(self, grant: Grant) -> None:
        # Something more pressing may have come meanwhile, or what was held has expired.
        job = self._scheduler.pop(self._clock.now_ms())
        if job is None:
            await self._budget.settle(grant, written_ago_ms=None)
        else:
            self.spawn(self._run(job, grant))

    async def _change(self, in_ms: int | None) -> None:
        """Wait until something changed, or for so long."""
        timeout_s = LONGEST_LOOK_S if in_ms is None else max(0.001, min(in_ms / 1000, LONGEST_LOOK_S))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()

    async def _tell_waiting(self, wait: Wait) -> None:
        if wait.limit in _ORDINARY:
            return
        BUDGET_WAITS.labels(self._backend.name, wait.limit).inc()
        if wait.ms >= TELL_WAIT_MS and not self._waiting_told:
            self._waiting_told = True
            await self._reporter.waiting(self._link.outbox, wait.limit, wait.ms, len(self._scheduler))

    async def _run(self, job: Job, grant: Grant | None) -> None:
        """Run one job to its end; without a connection its outcome waits in Redis for the redelivery."""
        try:
            await self._execution.run(job, grant)
        except BrokerUnavailable:
            self._log.info("finished without a connection", work=job.call.work_id)
        except Exception:  # noqa: BLE001 - one request that we cannot handle must not harm its neighbours
            self._log.exception("job failed", work=job.call.work_id)
            await self._break_off(job)

    async def _break_off(self, job: Job) -> None:
        try:
            await self._execution.break_off(job)
        except BrokerUnavailable:
            self._log.info("broke off without a connection", work=job.call.work_id)
        except Exception:  # noqa: BLE001 - then its delivery stays unacked, for another worker
            self._log.exception("job failed for good", work=job.call.work_id)
            self._link.give_up()

    async def tend(self) -> None:
        """Once a second: send on what has waited here for too long, and let go of what nobody waits for any more."""
        while True:
            await asyncio.sleep(LONGEST_LOOK_S)
            self._mover.look()
            for job in self._scheduler.take_expired(self._clock.now_ms()):
                await self._expire(job)

    async def _expire(self, job: Job) -> None:
        """The one that a held call carries has given up; somebody else may wait in its flight for longer."""
        latest = await self._latest_deadline(job)
        if latest is not None and latest > self._clock.now_ms():
            job.deadline_ms = latest
            self._scheduler.push(job)
            return
        waited_s = (self._clock.now_ms() - job.call.waiter.since_ms) / 1000
        error = DeadlineExceeded(f"It waited {waited_s:.1f} s for the budget of {self._backend.name}.")
        await self._reporter.gave_up(self._link.outbox, job, error, 0)
        await self._link.ack(job)

    async def _latest_deadline(self, job: Job) -> int | None:
        if not job.call.flight:
            return None
        with suppress(RedisAway):
            return await self._flights.latest_deadline(job.call)
        return None
