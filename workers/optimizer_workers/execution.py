"""One call through a worker, from its reservation to its end.

::

    grant ─► begin ─┬─ run ─────────► call ─► settle ─┬─ answered ─► complete ─► reply to every waiter ─► event ─► ack
                    ├─ answered, hit ► reply, ack     ├─ failed ───► release ─► publish to another backend ─► ack
                    ├─ busy ────────► hold it         ├─ refused for its rate ─► release ─► wait for budget again
                    └─ nobody, moved ► ack            ├─ failed ───► pause, reserve again, call again
                                                      └─ failed ───► complete with the error ─► reply ─► ack

Redis away: the call is made without a flight, and the waiter that it carries is answered.
"""

from contextlib import suppress

import msgspec

from optimizer_backends.result import CallResult
from optimizer_state.budget import Grant, Wait
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Answer, Begun, Completed, Flights
from optimizer_state.store import RedisAway
from optimizer_wire.errors import CODES, DeadlineExceeded, InternalError, OptimizerError
from optimizer_wire.messages import Source
from optimizer_wire.session import BrokerUnavailable
from optimizer_workers.desk import Desk
from optimizer_workers.job import Job
from optimizer_workers.metrics import WAIT_SECONDS
from optimizer_workers.repeats import Repeats
from optimizer_workers.reporter import Reporter
from optimizer_workers.retry import Again, Failover, GiveUp, Requeue, after_failure
from optimizer_workers.upstream import Finding, Upstream, answer_of


class Execution:
    """Runs jobs; each ends acked, held, forwarded, or left to a redelivery."""

    def __init__(
        self,
        desk: Desk,
        flights: Flights,
        upstream: Upstream,
        repeats: Repeats,
        reporter: Reporter,
        clock: FleetClock,
    ) -> None:
        self._desk = desk
        self._flights = flights
        self._upstream = upstream
        self._repeats = repeats
        self._reporter = reporter
        self._clock = clock

    async def run(self, job: Job, grant: Grant | None) -> None:
        """Take a job through its steps. A grant is settled in every case; without one, one is reserved if need be."""
        begun = await self._begin(job)
        if begun is None or begun.verdict == "run":
            fly = begun is not None
            grant = grant or await self._reserve(job, fly=fly)
            if grant is None:
                return
            WAIT_SECONDS.labels(self._upstream.backend.name).observe(self._waited_s(job))
            await self._call(job, grant, fly=fly)
            return
        if grant is not None:
            await self._upstream.refund(grant)
        await self._not_run(job, begun)

    async def _not_run(self, job: Job, begun: Begun) -> None:
        """There is nothing to call: it has been answered, somebody else runs it, or nobody waits any more."""
        if begun.verdict in {"answered", "hit", "nobody"}:
            await self._desk.end_turn(job)
        if begun.verdict == "nobody" and not job.call.attempts + job.attempts:
            await self._desk.give_quota_back(job)
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

    async def _reserve(self, job: Job, *, fly: bool) -> Grant | None:
        """Budget for a job that has begun; None if that was its end."""
        verdict = await self._desk.reserve(job)
        if isinstance(verdict, Grant):
            if verdict.probe == "breaker":
                with suppress(BrokerUnavailable):
                    await self._reporter.probing(self._desk.outbox)
            return verdict
        if verdict is None:
            # Nobody waits, or Redis has forgotten that somebody does: to begin again tells which.
            self._desk.hold(job, 0)
        elif isinstance(verdict, Wait):
            await self._end(job, too_late(job, verdict.limit), fly=fly)
        return None

    async def _begin(self, job: Job) -> Begun | None:
        """None: there is no flight, or Redis is away."""
        if not job.call.flight:
            return None
        try:
            return await self._flights.begin(job.call, job.owner, redelivered=job.redelivered)
        except RedisAway:
            return None

    async def _call(self, job: Job, grant: Grant, *, fly: bool) -> None:
        self._desk.begin_turn(job)
        while True:
            try:
                await self._reporter.started(self._desk.outbox, job)
            except BrokerUnavailable:
                await self._upstream.refund(grant)
                raise
            self._repeats.called()
            finding = await self._upstream.call(job, grant, fly=fly, left_s=self._left_s(job))
            await self._tell_consequences(job, finding)
            if finding.abandoned:
                await self._desk.end_turn(job)
                await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
                await self._desk.ack(job)
                return
            if finding.result.outcome.ok:
                await self._answered(job, finding, fly=fly)
                return
            again = await self._failed(job, finding, fly=fly)
            next_grant = None if again is None else await self._repeat(job, finding, again, fly=fly)
            if next_grant is None:
                return
            grant = next_grant

    async def _tell_consequences(self, job: Job, finding: Finding) -> None:
        """What the call did to the whole fleet's use of this backend."""
        with suppress(BrokerUnavailable):
            if finding.breaker is not None:
                await self._reporter.breaker(self._desk.outbox, finding.breaker, finding.result.signature)
            if finding.blocked_s is not None:
                await self._reporter.throttled(self._desk.outbox, job, finding, finding.blocked_s)

    async def _answered(self, job: Job, finding: Finding, *, fly: bool) -> None:
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
        """Tell, then pass it on, put it back, give up, or (returned) make the call again."""
        result = finding.result
        await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
        if fly:
            await self._wait_for_the_last(job)
        if not result.outcome.rate_only:
            failed = tuple(dict.fromkeys((*job.call.failed, job.hop.backend)))
            job.call = msgspec.structs.replace(job.call, failed=failed)
        step = self._step(job, result, further=job.further)
        if isinstance(step, Failover | Requeue):
            if await self._pass_on(job, finding, fly=fly, only_ready=isinstance(step, Requeue)):
                return None
            # No other backend of the route takes calls: this is the last one after all.
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

    def _step(self, job: Job, result: CallResult, *, further: bool) -> Failover | Requeue | Again | GiveUp:
        return after_failure(
            result.outcome,
            further=further,
            retries=job.retries,
            pauses_s=self._repeats.pauses_s,
            left_s=self._left_s(job),
            useful=result.should_retry is not False,
        )

    async def _pass_on(self, job: Job, finding: Finding, *, fly: bool, only_ready: bool) -> bool:
        """Send the job to another backend, or let it wait here again; False if neither. The dispatch is released first.

        `only_ready`: the backend only refused it for its rate, so that it may as well wait for it.
        """
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
        to = await self._desk.forward(job, number, only_ready=only_ready)
        if to is not None:
            await self._reporter.retrying(self._desk.outbox, job, finding, None, to)
            await self._desk.ack(job)
            return True
        job.call = msgspec.structs.replace(job.call, number=number)
        if only_ready:
            await self._reporter.retrying(self._desk.outbox, job, finding, None, job.hop.backend)
            self._desk.put_back(job)
            return True
        if fly:
            await self._begin(job)
        return False

    async def _repeat(self, job: Job, finding: Finding, again: Again, *, fly: bool) -> Grant | None:
        """The grant for another call here after a pause; None if that was the job's end."""
        job.retries += 1
        pause_s = again.after_s
        while pause_s > 0:
            if not await self._desk.pause(job, pause_s):
                self._desk.hold(job, 0)
                return None
            if self._desk.shut_until_ms() > job.deadline_ms:
                # The backend takes no more calls before that: what it said last is the answer.
                await self._give_up(job, finding, fly=fly)
                return None
            pause_s = await self._repeats.wait_s(job)
        return await self._reserve(job, fly=fly)

    async def _give_up(self, job: Job, finding: Finding, *, fly: bool) -> None:
        await self._end(job, _error(job, finding), fly=fly, finding=finding)

    async def tell_early(self, job: Job, error: OptimizerError) -> None:
        """End a held job that would miss its deadline anyway, without a call."""
        begun = await self._begin(job)
        if begun is None or begun.verdict == "run":
            await self._end(job, error, fly=begun is not None)
        else:
            await self._not_run(job, begun)

    async def _end(self, job: Job, error: OptimizerError, *, fly: bool, finding: Finding | None = None) -> None:
        """End the job with an error: its waiters are told."""
        now_ms = self._clock.now_ms()
        if finding is None:
            answer = Answer(ok=False, leader=job.call.waiter.id, stored_ms=now_ms, task=job.call.task, error=error.info)
        else:
            answer = msgspec.structs.replace(answer_of(job, finding, now_ms), error=error.info)
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
        ended = Completed(mine=True, waiters=(job.call.waiter,))
        if fly:
            with suppress(RedisAway):
                ended = await self._flights.complete(job.call, job.owner, answer, store_ttl_ms=ttl_ms)
        if ended.mine:
            await self._desk.end_turn(job)
            await self._desk.settle_quota(job, answer)
        return ended

    def _left_s(self, job: Job) -> float:
        return (job.deadline_ms - self._clock.now_ms()) / 1000

    def _waited_s(self, job: Job) -> float:
        return max(0.0, (self._clock.now_ms() - job.call.waiter.since_ms) / 1000)


def too_late(job: Job, reason: str) -> DeadlineExceeded:
    """The error of a job whose backend takes it only after its deadline."""
    return DeadlineExceeded(f"{job.hop.backend} takes it only after its deadline ({reason}); it was not called.")


def _error(job: Job, finding: Finding) -> OptimizerError:
    result = finding.result
    kind = CODES.get(result.outcome.error_code, InternalError)
    return kind(f"{job.hop.backend}: {result.message}", retry_after_s=result.retry_after_s)
