"""One call through a worker, from its reservation to its end.

::

    grant ─► begin ─┬─ run ─────────► call ─► settle ─┬─ answered ─► complete ─► reply to every waiter ─► event ─► ack
                    ├─ answered, hit ► reply, ack     ├─ failed ───► release ─► publish to the next backend ─► ack
                    ├─ busy ────────► hold it         ├─ failed ───► pause, reserve again, call again
                    └─ nobody, moved ► ack            └─ failed ───► complete with the error ─► reply ─► ack

Redis away: the call is made without a flight, and the waiter that it carries is answered.
"""

from contextlib import suppress

import msgspec

from optimizer_backends.result import CallResult
from optimizer_state.budget import Grant
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Answer, Begun, Completed, Flights
from optimizer_state.store import RedisAway
from optimizer_wire.errors import CODES, InternalError, OptimizerError
from optimizer_wire.messages import Source, Waiter
from optimizer_wire.session import BrokerUnavailable
from optimizer_workers.desk import Desk
from optimizer_workers.job import Job
from optimizer_workers.metrics import WAIT_SECONDS
from optimizer_workers.reporter import Reporter
from optimizer_workers.retry import SLOW_DOWN, Again, Failover, GiveUp, after_failure, throttle_pause_s
from optimizer_workers.upstream import Finding, Upstream, answer_of


class Execution:
    """Runs jobs; each ends acked, held, forwarded, or left to a redelivery."""

    def __init__(self, desk: Desk, flights: Flights, upstream: Upstream, reporter: Reporter, clock: FleetClock) -> None:
        self._desk = desk
        self._flights = flights
        self._upstream = upstream
        self._reporter = reporter
        self._clock = clock
        self._throttled_in_a_row = 0

    async def run(self, job: Job, grant: Grant | None) -> None:
        """Take a job through its steps. A grant is settled in every case; without one, one is reserved if need be."""
        begun = await self._begin(job)
        if begun is None or begun.verdict == "run":
            grant = grant or await self._desk.reserve(job)
            if grant is None:
                # Nobody waits, or Redis has forgotten that somebody does: to begin again tells which.
                self._desk.hold(job, 0)
                return
            WAIT_SECONDS.labels(self._upstream.backend.name).observe(self._waited_s(job))
            await self._call(job, grant, fly=begun is not None)
            return
        if grant is not None:
            await self._upstream.refund(grant)
        match begun.verdict:
            case "busy":
                self._desk.hold(job, begun.busy_ms)
                return
            case "answered" | "hit" if begun.answer is not None:
                source: Source | None = "cache" if begun.verdict == "hit" else None
                await self._desk.outbox.answer(begun.answer, begun.waiters, source)
            case "redispatch":
                if await self._desk.forward(job, begun.number) is None:
                    # Nobody else takes it: the next dispatch is made here.
                    job.call = msgspec.structs.replace(job.call, number=begun.number)
                    self._desk.hold(job, 0)
                    return
        await self._desk.ack(job)

    async def _begin(self, job: Job) -> Begun | None:
        """None: there is no flight, or Redis is away."""
        if not job.call.flight:
            return None
        try:
            return await self._flights.begin(job.call, job.owner, redelivered=job.redelivered)
        except RedisAway:
            return None

    async def _call(self, job: Job, grant: Grant, *, fly: bool) -> None:
        while True:
            try:
                await self._reporter.started(self._desk.outbox, job)
            except BrokerUnavailable:
                await self._upstream.refund(grant)
                raise
            finding = await self._upstream.call(job, grant, fly=fly, left_s=self._left_s(job))
            if finding.abandoned:
                await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
                await self._desk.ack(job)
                return
            if finding.result.outcome.ok:
                await self._answered(job, finding, fly=fly)
                return
            again = await self._failed(job, finding, fly=fly)
            if again is None:
                return
            next_grant = await self._repeat(job, again)
            if next_grant is None:
                self._desk.hold(job, 0)
                return
            grant = next_grant

    async def _answered(self, job: Job, finding: Finding, *, fly: bool) -> None:
        self._throttled_in_a_row = 0
        answer = answer_of(job, finding, self._clock.now_ms())
        ttl_ms = job.call.store_ttl_ms if finding.result.complete else 0
        ended = await self._complete(job, answer, ttl_ms, fly=fly)
        # An owner that lost its lease still answers the one waiter it knows.
        waiters = ended.waiters if ended.mine else (job.call.waiter,)
        await self._desk.outbox.answer(answer, waiters)
        await self._reporter.finished(
            self._desk.outbox, job, finding, waiters=len(waiters), now_ms=self._clock.now_ms()
        )
        await self._desk.ack(job)

    async def _failed(self, job: Job, finding: Finding, *, fly: bool) -> Again | None:
        """Tell, then fail over, give up, or (returned) make the call again."""
        result = finding.result
        await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
        if result.outcome in SLOW_DOWN:
            self._throttled_in_a_row += 1
            pause_s = throttle_pause_s(self._throttled_in_a_row, result.retry_after_s)
            await self._desk.block(pause_s)
            await self._reporter.throttled(self._desk.outbox, job, finding, pause_s)
        if fly:
            await self._wait_for_the_last(job)
        step = self._step(job, result, further=job.further)
        if isinstance(step, Failover):
            if await self._fail_over(job, finding, fly=fly):
                return None
            # No backend of the rest of the route takes calls: this is the last one after all.
            step = self._step(job, result, further=False)
        if isinstance(step, Again):
            await self._reporter.retrying(self._desk.outbox, job, finding, step, job.hop.backend)
            return step
        await self._give_up(job, finding, fly=fly)
        return None

    async def _wait_for_the_last(self, job: Job) -> None:
        """Others may wait for longer than the one that the call carries."""
        with suppress(RedisAway):
            latest_ms = await self._flights.latest_deadline(job.call)
            job.deadline_ms = max(job.deadline_ms, latest_ms or 0)

    def _step(self, job: Job, result: CallResult, *, further: bool) -> Failover | Again | GiveUp:
        return after_failure(
            result.outcome,
            further=further,
            retries=job.retries,
            retry_after_s=result.retry_after_s,
            left_s=self._left_s(job),
        )

    async def _fail_over(self, job: Job, finding: Finding, *, fly: bool) -> bool:
        """Send the job to the next backend; False if none takes it. The dispatch is released first."""
        number = job.call.number
        if fly:
            try:
                released = await self._flights.release(job.call, job.owner)
            except RedisAway:
                released = number
            if released is None:
                # Another owner has the flight: its outcome counts, an error of ours is dropped.
                await self._desk.ack(job)
                return True
            number = released
        to = await self._desk.forward(job, number)
        if to is None:
            job.call = msgspec.structs.replace(job.call, number=number)
            if fly:
                await self._begin(job)
            return False
        await self._reporter.retrying(self._desk.outbox, job, finding, None, to)
        await self._desk.ack(job)
        return True

    async def _repeat(self, job: Job, again: Again) -> Grant | None:
        job.retries += 1
        if not await self._desk.pause(job, again.after_s):
            return None
        return await self._desk.reserve(job)

    async def _give_up(self, job: Job, finding: Finding, *, fly: bool) -> None:
        error = _error(job, finding)
        answer = msgspec.structs.replace(answer_of(job, finding, self._clock.now_ms()), error=error.info)
        ended = await self._complete(job, answer, 0, fly=fly)
        if ended.mine:
            await self._desk.outbox.answer(answer, ended.waiters)
            await self._reporter.gave_up(self._desk.outbox, job, error, len(ended.waiters))
        await self._desk.ack(job)

    async def break_off(self, job: Job) -> None:
        """End a job that met a fault of ours: its waiters are told, its message goes to the dead letters."""
        error = InternalError(f"The worker of {job.hop.backend} failed over this request; see its log.")
        answer = Answer(ok=False, leader=job.call.waiter.id, stored_ms=0, task=job.call.task, error=error.info)
        ended = await self._complete(job, answer, 0, fly=bool(job.call.flight))
        if ended.mine:
            await self._desk.outbox.answer(answer, ended.waiters)
            await self._reporter.gave_up(self._desk.outbox, job, error, len(ended.waiters))
        await self._desk.reject(job)

    async def _complete(self, job: Job, answer: Answer, ttl_ms: int, *, fly: bool) -> Completed:
        alone: tuple[Waiter, ...] = (job.call.waiter,)
        if not fly:
            return Completed(mine=True, waiters=alone)
        try:
            return await self._flights.complete(job.call, job.owner, answer, store_ttl_ms=ttl_ms)
        except RedisAway:
            return Completed(mine=True, waiters=alone)

    def _left_s(self, job: Job) -> float:
        return (job.deadline_ms - self._clock.now_ms()) / 1000

    def _waited_s(self, job: Job) -> float:
        return max(0.0, (self._clock.now_ms() - job.call.waiter.since_ms) / 1000)


def _error(job: Job, finding: Finding) -> OptimizerError:
    result = finding.result
    kind = CODES.get(result.outcome.error_code, InternalError)
    return kind(f"{job.hop.backend}: {result.message}", retry_after_s=result.retry_after_s)
