"""What becomes of calls that wait: they move on, are told that they come too late, expire, or are let go."""

import asyncio
from contextlib import suppress

from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_wire.errors import DeadlineExceeded
from optimizer_workers.consumption import PREFETCH
from optimizer_workers.crowding import hindmost
from optimizer_workers.ending import too_late
from optimizer_workers.execution import Execution
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.metrics import TOLD_EARLY
from optimizer_workers.mover import Mover
from optimizer_workers.planner import LAST_WORD_MS, Planner
from optimizer_workers.reporter import Reporter
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.tasks import Tasks

TEND_S = 0.5
# What is known of other backends is a moment old, and calls that are told leave room for others: so long one that
# misses its deadline may yet find some. With half of its time gone it is told sooner, as long as that is of use.
SURE_AFTER_MS = 5_000
LAST_ERROR_MS = 800
SURE_AFTER_HALF_MS = 600


def surely(hopeless_ms: int, left_ms: int, waited_ms: int) -> bool:
    """Whether a call that has seemed to miss its deadline for so long is to be told."""
    return hopeless_ms >= (SURE_AFTER_HALF_MS if left_ms <= waited_ms else SURE_AFTER_MS)


class Waiting:
    """Looks after the calls that a worker holds."""

    def __init__(
        self,
        scheduler: Scheduler,
        planner: Planner,
        mover: Mover,
        execution: Execution,
        flights: Flights,
        reporter: Reporter,
        link: Link,
        tasks: Tasks,
        clock: FleetClock,
        hold_s: float,
    ) -> None:
        self._hold_ms = round(hold_s * 1000)
        self._scheduler = scheduler
        self._planner = planner
        self._mover = mover
        self._execution = execution
        self._flights = flights
        self._reporter = reporter
        self._link = link
        self._tasks = tasks
        self._clock = clock

    def plan(self) -> None:
        """Move what is served clearly sooner elsewhere, and tell those who would miss their deadline anyway."""
        self._planner.plan(self._clock.now_ms(), self._mover.moves, self._misses)

    def _misses(self, job: Job, reason: str) -> bool:
        """A held call surely misses its deadline here: let another backend try, or tell; False if that is too early."""
        now_ms, least_ms = self._clock.now_ms(), self._planner.least_ms
        if job.deadline_ms - now_ms < LAST_WORD_MS:
            self.tell_early(job, reason)
            return True
        if self._mover.may_come(job, least_ms):
            return False
        if self._mover.rescues(job, least_ms):
            return True
        job.hopeless_since_ms = job.hopeless_since_ms or now_ms
        if surely(now_ms - job.hopeless_since_ms, job.deadline_ms - now_ms, now_ms - job.call.waiter.since_ms):
            self.tell_early(job, reason)
        return True

    def tell_early(self, job: Job, reason: str) -> None:
        """End a held call that misses its deadline anyway, unless somebody in its flight can wait for longer."""
        self._scheduler.remove(job)
        self._tasks.spawn(job, self._give_up(job, reason))

    async def _give_up(self, job: Job, reason: str) -> None:
        if await self._waits_longer(job):
            self.hold_again(job)
            return
        TOLD_EARLY.labels(job.hop.backend).inc()
        await self._execution.tell_early(job, too_late(job, reason))

    def hold_again(self, job: Job) -> None:
        """Hold a call that was taken out, unless it will be delivered anew anyway."""
        if self._link.has(job):
            self._scheduler.push(job)

    def let_go(self, *, but: Job | None = None) -> list["asyncio.Task[None]"]:
        """Send what is held back to the end of its queue, `but` for one; returns a task for each call.

        Not by requeueing: that counts towards the delivery limit, as if they had harmed a worker.
        """
        let_go = []
        for job in self._scheduler.take_all():
            if job.look_first or job is but:
                # To look at it needs no budget.
                self._scheduler.push(job)
            else:
                let_go.append(self._tasks.spawn(job, self._mover.send_back(job)))
        return let_go

    async def tend(self) -> None:
        """Let go of what nobody waits for any more, and see what stands behind a crowd, until cancelled."""
        while True:
            await asyncio.sleep(TEND_S)
            for job in self._scheduler.take_expired(self._clock.now_ms()):
                await self._expire(job)
            for job in self._scheduler.held():
                # It rests before a repetition that comes too late: its caller is to hear why it failed.
                if job.error is not None and job.deadline_ms - self._clock.now_ms() < LAST_ERROR_MS:
                    self.tell_early(job, "no time is left to call again")
            for job in self._scheduler.held():
                if self.held_too_long(job):
                    self.hand_back(job)
            for job in hindmost(self._scheduler.held(), PREFETCH):
                self._scheduler.remove(job)
                self._tasks.spawn(job, self._mover.send_back(job))

    def held_too_long(self, job: Job) -> bool:
        """Whether RabbitMQ must have a held call back: it ends a consumer that keeps a message for 30 minutes."""
        return self._clock.now_ms() - job.held_since_ms > self._hold_ms

    def hand_back(self, job: Job) -> None:
        """Let a held call come again, from the end of its queue; one that may be answered keeps saying so."""
        self._scheduler.remove(job)
        self._tasks.spawn(job, self._link.requeue(job) if job.look_first or job.suspect else self._mover.send_back(job))

    async def _expire(self, job: Job) -> None:
        """The one that a held call carries has given up; somebody else may wait in its flight for longer."""
        if await self._waits_longer(job):
            self.hold_again(job)
            return
        waited_s = (self._clock.now_ms() - job.call.waiter.since_ms) / 1000
        error = DeadlineExceeded(f"It waited {waited_s:.1f} s for the budget of {job.hop.backend}.")
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
