"""What moves the calls that a worker holds into execution, as budget allows."""

import asyncio
from contextlib import suppress

from optimizer_config.model import Backend
from optimizer_state.budget import Grant, Wait
from optimizer_state.clock import FleetClock
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.cancellation import set_within
from optimizer_workers.allowance import Allowance
from optimizer_workers.execution import Execution
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.metrics import BUDGET_WAITS, HELD
from optimizer_workers.mover import Mover
from optimizer_workers.planner import Planner
from optimizer_workers.reporter import Reporter
from optimizer_workers.rest import Rest
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.tasks import Tasks
from optimizer_workers.waiting import Waiting

LONGEST_LOOK_S = 1.0
TELL_WAIT_MS = 1_000
RESERVED_AT_ONCE = 16
SHORT_LOOK_MS = 50
# Waits that say nothing about the backend: it is busy, Redis is being told what was used, or mates are asked for it.
_ORDINARY = frozenset({"restored", "redis", "concurrency"})


class Pump:
    """Begins held calls in the scheduler's order."""

    def __init__(
        self,
        backend: Backend,
        scheduler: Scheduler,
        allowance: Allowance,
        execution: Execution,
        planner: Planner,
        waiting: Waiting,
        mover: Mover,
        reporter: Reporter,
        link: Link,
        tasks: Tasks,
        clock: FleetClock,
    ) -> None:
        self._backend = backend
        self._held = HELD.labels(backend.name)
        self._scheduler = scheduler
        self._allowance = allowance
        self._execution = execution
        self._planner = planner
        self._waiting = waiting
        self._mover = mover
        self._reporter = reporter
        self._link = link
        self._tasks = tasks
        self._clock = clock
        self._changed = asyncio.Event()
        self._waiting_told = False
        self._at_once = 1
        # One runs that nothing may run beside.
        self._alone = False
        self._calls: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.begun: set[Job] = set()

    def take(self, job: Job) -> None:
        """Hold a call that was delivered, unless its session has ended meanwhile: it will be delivered anew."""
        if not self._link.has(job):
            return
        if twin := self._scheduler.twin(job):
            # Its client asked again. Two copies in line would take each other's place, and one could end them both.
            twin.deadline_ms = max(twin.deadline_ms, job.deadline_ms)
            self._tasks.spawn_alone(self._drop(job))
            return
        job.held_since_ms = job.in_line_ms = self._clock.now_ms()
        self._scheduler.push(job)
        self._mover.hear(job)
        if not self._mover.moves(job, self._planner.ready_ms(job.hop.model)):
            self._changed.set()

    async def _drop(self, job: Job) -> None:
        with suppress(BrokerUnavailable):
            await self._link.ack(job)

    def _spawn_call(self, job: Job, grant: Grant) -> None:
        task = self._tasks.spawn(job, self._run(job, grant))
        self._calls.add(task)
        task.add_done_callback(self._call_ended)

    def _call_ended(self, task: "asyncio.Task[None]") -> None:
        self._calls.discard(task)
        self._alone = False
        # What it did not use of its tokens may be enough for the next.
        self._planner.freed()
        self._changed.set()

    def stop(self) -> None:
        """Begin no more calls: `work` ends, and what it was reserving for has begun by then or is held again."""
        self._stopping = True
        self._changed.set()

    async def work(self, rest: Rest) -> None:
        """Begin calls until stopped or cancelled."""
        self._stopping = False
        while not self._stopping:
            self._held.set(len(self._scheduler))
            now_ms = self._clock.now_ms()
            free = 0 if self._alone else self._concurrency() - len(self._calls)
            job = self._scheduler.next(now_ms) if free > 0 else None
            if not self._calls and (job is None or not job.suspect):
                await rest.resume()
            if job is None:
                await self._change(self._scheduler.wakes_in_ms(now_ms))
            elif job.look_first:
                # Most likely it has been answered, or is running elsewhere: that needs no budget to find out.
                self._look(job)
            elif self._waiting.held_too_long(job):
                # A call that failed slowly and is to be repeated: RabbitMQ may not bear another one as long.
                self._waiting.hand_back(job)
            elif self._planner.hopeless(job, now_ms):
                self._waiting.tell_early(job, self._no_time(job, now_ms))
            elif job.suspect:
                await self._begin_alone(job, rest)
            else:
                await self._begin(min(free, self._at_once, RESERVED_AT_ONCE))

    def _look(self, job: Job) -> None:
        self._scheduler.remove(job)
        self._tasks.spawn(job, self._execution.look(job))

    async def _begin_alone(self, job: Job, rest: Rest) -> None:
        """Begin a call that may kill this worker as soon as nothing else can come to harm."""
        if self._calls:
            await self._change(None)
        elif job.counted:
            await self._begin(1, alone=True)
        else:
            await rest.clear(job)
            for other in self._scheduler.held():
                if other is not job:
                    self._look(other)
            if self._tasks.running:
                await self._change(SHORT_LOOK_MS)
            else:
                await self._begin(1, alone=True)

    def _no_time(self, job: Job, now_ms: int) -> str:
        left_s, least_s = max(0, job.deadline_ms - now_ms) / 1000, self._planner.least_ms / 1000
        waited = self._planner.reason(job.hop.model)
        return f"{left_s:.1f} s are left, a call takes {least_s:.1f} s" + (
            f"; it waited for {waited}" if waited else ""
        )

    def _concurrency(self) -> int:
        """Operators may have changed it."""
        return self._allowance.budget.fleet_view.concurrency or self._backend.concurrency

    async def _begin(self, count: int, *, alone: bool = False) -> None:
        """Reserve for the next calls in one round trip, and begin as many as were granted."""
        now_ms = self._clock.now_ms()
        jobs = [job for _ in range(count) if (job := self._pop(now_ms, suspect=alone)) is not None]
        verdicts = await self._allowance.reserve(jobs)
        refused: list[tuple[Job, Wait]] = []
        for job, verdict in zip(jobs, verdicts, strict=True):
            if isinstance(verdict, Grant):
                self._planner.begins(job, now_ms)
                self._planner.granted(job.hop.model)
                await self._tell_probe(verdict)
                self._alone = alone
                self._spawn_call(job, verdict)
            elif verdict.limit == "retries":
                # Of this call alone, since it is a repetition.
                self._scheduler.correct(job, 0)
                job.not_before_ms = now_ms + verdict.ms
                self._waiting.hold_again(job)
            else:
                refused.append((job, verdict))
                self._put_back(job)
        # While the budget is short one call is asked for at a time: the first in line is to get what becomes free.
        self._at_once = 1 if refused else min(2 * self._at_once, RESERVED_AT_ONCE)
        if len(refused) < len(jobs):
            self._waiting_told = False
        for job, wait in refused:
            await self._wait(job, wait)

    def _pop(self, now_ms: int, *, suspect: bool) -> Job | None:
        """The next call, unless it is one that is to be looked at in another way first."""
        job = self._scheduler.next(now_ms)
        if job is None or job.look_first or job.suspect != suspect:
            return None
        if self._waiting.held_too_long(job) or self._planner.hopeless(job, now_ms):
            return None
        # More may have been learned since it came: this is reserved, and charged to its agent.
        self._allowance.estimate(job)
        self._scheduler.take(job)
        return job

    def _put_back(self, job: Job) -> None:
        """It was taken and not begun: nobody is charged, and it keeps its place."""
        if self._link.has(job):
            self._scheduler.put_back(job)

    async def _tell_probe(self, grant: Grant) -> None:
        if grant.probe == "breaker":
            # Without a connection nobody hears of it, and what was granted is to begin.
            with suppress(BrokerUnavailable):
                await self._reporter.probing(self._link.outbox)

    async def _wait(self, job: Job, wait: Wait) -> None:
        """There is no budget for a call: move on what is served sooner elsewhere, and look again in time."""
        now_ms = self._clock.now_ms()
        self._planner.refused(job, wait, now_ms)
        if wait.limit not in _ORDINARY:
            BUDGET_WAITS.labels(self._backend.name, wait.limit).inc()
            await self._tell_waiting(wait)
        if self._planner.due(now_ms):
            self._waiting.plan()

    async def _change(self, in_ms: int | None) -> None:
        """Wait until something changed, or for so long."""
        timeout_s = LONGEST_LOOK_S if in_ms is None else max(0.001, min(in_ms / 1000, LONGEST_LOOK_S))
        await set_within(self._changed, timeout_s)
        self._changed.clear()

    async def _tell_waiting(self, wait: Wait) -> None:
        if wait.ms >= TELL_WAIT_MS and not self._waiting_told:
            self._waiting_told = True
            await self._reporter.waiting(self._link.outbox, wait.limit, wait.ms, len(self._scheduler))

    async def _run(self, job: Job, grant: Grant) -> None:
        self.begun.add(job)
        try:
            await self._execution.run(job, grant)
        finally:
            self.begun.discard(job)
            # If it is held again, it stands in line anew.
            job.in_line_ms = self._clock.now_ms()
            self._scheduler.correct(job, job.used_tokens)
