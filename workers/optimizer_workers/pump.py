"""What moves the calls that a worker holds: into execution as budget allows, and out when nobody waits any more."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from optimizer_config.model import Backend
from optimizer_service.logs import Logger
from optimizer_state.budget import Grant, Wait
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_wire.errors import DeadlineExceeded
from optimizer_wire.session import BrokerUnavailable
from optimizer_workers.allowance import Allowance
from optimizer_workers.execution import Execution, too_late
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.metrics import BUDGET_WAITS, HELD, TOLD_EARLY
from optimizer_workers.mover import Mover
from optimizer_workers.planner import Planner
from optimizer_workers.reporter import Reporter
from optimizer_workers.scheduler import Scheduler

LONGEST_LOOK_S = 1.0
TELL_WAIT_MS = 1_000
SURE_AFTER_MS = 600
RESERVED_AT_ONCE = 16
# Waits that say nothing about the backend: it is busy, or this Redis is being told what was used.
_ORDINARY = frozenset({"restored", "concurrency"})


class Pump:
    """Begins held calls in the scheduler's order; `running` are all tasks on their way."""

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        allowance: Allowance,
        flights: Flights,
        execution: Execution,
        planner: Planner,
        mover: Mover,
        reporter: Reporter,
        link: Link,
        clock: FleetClock,
        log: Logger,
    ) -> None:
        self._backend = backend
        self._scheduler = scheduler
        self._allowance = allowance
        self._flights = flights
        self._execution = execution
        self._planner = planner
        self._mover = mover
        mover.spawn = self.spawn
        self._reporter = reporter
        self._link = link
        self._clock = clock
        self._log = log
        self._changed = asyncio.Event()
        self._waiting_told = False
        self._at_once = 1
        self._calls: set[asyncio.Task[None]] = set()
        self.running: set[asyncio.Task[None]] = set()

    def take(self, job: Job) -> None:
        """Hold a call that was delivered."""
        job.held_since_ms = self._clock.now_ms()
        self._scheduler.push(job)
        self._mover.hear(job)
        if not self._mover.moves(job, self._planner.ready_ms(job.hop.model)):
            self._changed.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run something beside the pump, as part of what is on its way."""
        task = asyncio.ensure_future(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task

    def _spawn_call(self, job: Job, grant: Grant) -> None:
        task = self.spawn(self._run(job, grant))
        self._calls.add(task)
        task.add_done_callback(self._call_ended)

    def _call_ended(self, task: "asyncio.Task[None]") -> None:
        self._calls.discard(task)
        # What it did not use of its tokens may be enough for the next.
        self._planner.freed()
        self._changed.set()

    async def work(self) -> None:
        """Begin calls until cancelled."""
        while True:
            HELD.labels(self._backend.name).set(len(self._scheduler))
            now_ms = self._clock.now_ms()
            free = self._concurrency() - len(self._calls)
            job = self._scheduler.next(now_ms) if free > 0 else None
            if job is None:
                await self._change(self._scheduler.wakes_in_ms(now_ms))
            elif job.look_first:
                # Most likely it has been answered, or is running elsewhere: that needs no budget to find out.
                self._scheduler.remove(job)
                self.spawn(self._guarded(job, self._execution.look(job)))
            elif self._planner.hopeless(job, now_ms):
                self._scheduler.remove(job)
                self.spawn(self._give_up(job, "no time is left for a call"))
            else:
                await self._begin(min(free, self._at_once, RESERVED_AT_ONCE))

    def _concurrency(self) -> int:
        """Operators may have changed it."""
        return self._allowance.budget.fleet_view.concurrency or self._backend.concurrency

    async def _begin(self, count: int) -> None:
        """Reserve for the next calls in one round trip, and begin as many as were granted."""
        now_ms = self._clock.now_ms()
        jobs = [job for _ in range(count) if (job := self._pop(now_ms)) is not None]
        verdicts = await asyncio.gather(*(self._allowance.reserve(job) for job in jobs))
        refused: list[tuple[Job, Wait]] = []
        for job, verdict in zip(jobs, verdicts, strict=True):
            if isinstance(verdict, Grant):
                self._planner.granted(job.hop.model)
                await self._tell_probe(verdict)
                self._spawn_call(job, verdict)
            elif verdict.limit == "retries":
                # Of this call alone, since it is a repetition.
                self._scheduler.correct(job, 0)
                job.not_before_ms = now_ms + verdict.ms
                self._hold_again(job)
            else:
                refused.append((job, verdict))
                self._put_back(job)
        # While the budget is short one call is asked for at a time: the first in line is to get what becomes free.
        self._at_once = 1 if refused else min(2 * self._at_once, RESERVED_AT_ONCE)
        if len(refused) < len(jobs):
            self._waiting_told = False
        for job, wait in refused:
            await self._wait(job, wait)

    def _pop(self, now_ms: int) -> Job | None:
        """The next call, unless it is one that is to be looked at in another way first."""
        job = self._scheduler.next(now_ms)
        if job is None or job.look_first or self._planner.hopeless(job, now_ms):
            return None
        return self._scheduler.pop(now_ms)

    def _put_back(self, job: Job) -> None:
        """It was taken and not begun: nobody is charged, and it keeps its place."""
        if job.stage == self._link.stage and self._link.up:
            self._scheduler.put_back(job)

    def _hold_again(self, job: Job) -> None:
        if job.stage == self._link.stage and self._link.up:
            self._scheduler.push(job)

    async def _tell_probe(self, grant: Grant) -> None:
        if grant.probe == "breaker":
            await self._reporter.probing(self._link.outbox)

    async def _wait(self, job: Job, wait: Wait) -> None:
        """There is no budget for a call: move on what is served sooner elsewhere, and look again in time."""
        now_ms = self._clock.now_ms()
        self._planner.refused(job, wait, now_ms)
        if wait.limit not in _ORDINARY:
            BUDGET_WAITS.labels(self._backend.name, wait.limit).inc()
            await self._tell_waiting(wait)
        if self._planner.due(now_ms):
            self.plan()

    def plan(self) -> None:
        """Move what is served clearly sooner elsewhere, and tell those who would miss their deadline anyway."""
        self._planner.plan(self._clock.now_ms(), self._mover.moves, self._misses)

    def _misses(self, job: Job, reason: str) -> bool:
        """A held call surely misses its deadline here: let another backend try, or tell; False if that is too early."""
        now_ms, least_ms = self._clock.now_ms(), self._planner.least_ms
        if self._mover.may_come(job, least_ms):
            return False
        if self._mover.rescues(job, least_ms):
            return True
        # What is known of the others is a moment old: they may yet have room for it.
        job.hopeless_since_ms = job.hopeless_since_ms or now_ms
        if now_ms - job.hopeless_since_ms < SURE_AFTER_MS:
            return True
        self._scheduler.remove(job)
        self.spawn(self._give_up(job, reason))
        return True

    async def _change(self, in_ms: int | None) -> None:
        """Wait until something changed, or for so long."""
        timeout_s = LONGEST_LOOK_S if in_ms is None else max(0.001, min(in_ms / 1000, LONGEST_LOOK_S))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()

    async def _tell_waiting(self, wait: Wait) -> None:
        if wait.ms >= TELL_WAIT_MS and not self._waiting_told:
            self._waiting_told = True
            await self._reporter.waiting(self._link.outbox, wait.limit, wait.ms, len(self._scheduler))

    async def _run(self, job: Job, grant: Grant) -> None:
        try:
            await self._guarded(job, self._execution.run(job, grant))
        finally:
            self._scheduler.correct(job, job.used_tokens)

    async def _guarded(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        """Do something with one job to its end; without a connection its outcome waits in Redis for the redelivery."""
        try:
            await work
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

    async def let_go(self) -> int:
        """Send what is held back to the end of its queue; returns how many calls.

        Not by requeueing: that counts towards the delivery limit, as if they had harmed a worker.
        """
        jobs = [job for job in self._scheduler.take_all() if not self._kept(job)]
        for job in jobs:
            self.spawn(self._mover.send_back(job))
        return len(jobs)

    def _kept(self, job: Job) -> bool:
        """What needs no budget is looked at here and now."""
        if job.look_first:
            self._scheduler.push(job)
        return job.look_first

    async def tend(self) -> None:
        """Once a second: let go of what nobody waits for any more."""
        while True:
            await asyncio.sleep(LONGEST_LOOK_S)
            for job in self._scheduler.take_expired(self._clock.now_ms()):
                await self._expire(job)

    async def _give_up(self, job: Job, reason: str) -> None:
        """End a call that misses its deadline anyway, unless somebody in its flight can wait for longer."""
        try:
            if await self._waits_longer(job):
                self._hold_again(job)
                return
            TOLD_EARLY.labels(self._backend.name).inc()
            await self._execution.tell_early(job, too_late(job, reason))
        except BrokerUnavailable:
            self._log.info("told nobody: no connection", work=job.call.work_id)

    async def _expire(self, job: Job) -> None:
        """The one that a held call carries has given up; somebody else may wait in its flight for longer."""
        if await self._waits_longer(job):
            self._hold_again(job)
            return
        waited_s = (self._clock.now_ms() - job.call.waiter.since_ms) / 1000
        error = DeadlineExceeded(f"It waited {waited_s:.1f} s for the budget of {self._backend.name}.")
        await self._reporter.gave_up(self._link.outbox, job, error, 0)
        await self._link.ack(job)

    async def _waits_longer(self, job: Job) -> bool:
        """Whether somebody waits in the call's flight beyond its deadline, which is then the later one."""
        if not job.call.flight:
            return False
        with suppress(RedisAway):
            latest = await self._flights.latest_deadline(job.call)
            if latest is not None and latest > max(job.deadline_ms, self._clock.now_ms()):
                job.deadline_ms = latest
                return True
        return False
