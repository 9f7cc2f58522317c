"""One call through a worker, from its reservation to its end.

::

    grant ─► begin ─┬─ run ─────────► call ─► settle ─┬─ answered ─► complete ─► reply to every waiter ─► event ─► ack
                    ├─ answered, hit ► reply, ack     ├─ failed ───► release ─► publish to another backend ─► ack
                    ├─ busy ────────► hold it         ├─ refused for its rate ─► release ─► wait for budget again
                    ├─ nobody, moved ► ack            ├─ failed ───► pause, reserve again, call again
                    ├─ suspect ─────► run it alone    └─ failed ───► complete with the error ─► reply ─► ack
                    └─ poison ──────► complete with an error ─► reply ─► dead letter

Redis away: the call is made without a flight, and the waiter that it carries is answered.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from optimizer_backends.result import CallResult
from optimizer_service.crash_points import crash_point
from optimizer_state.budget import Grant
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_state.verdicts import Begun
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import Source
from optimizer_workers.desk import Desk
from optimizer_workers.ending import Ending, error_of
from optimizer_workers.job import Job
from optimizer_workers.metrics import WAIT_SECONDS
from optimizer_workers.repeats import Repeats
from optimizer_workers.reporter import Reporter
from optimizer_workers.retry import Again, Failover, GiveUp, Requeue, after_failure
from optimizer_workers.suspicion import by_deliveries
from optimizer_workers.upstream import Finding, Upstream

# Beyond its pause, a call has so long to begin again before another copy of it may.
PAUSE_LEASE_MS = 2_000


class Execution:
    """Runs jobs; each ends acked, held, forwarded, or left to a redelivery."""

    def __init__(
        self,
        desk: Desk,
        flights: Flights,
        upstream: Upstream,
        repeats: Repeats,
        ending: Ending,
        reporter: Reporter,
        clock: FleetClock,
    ) -> None:
        self._desk = desk
        self._ending = ending
        self._flights = flights
        self._upstream = upstream
        self._repeats = repeats
        self._reporter = reporter
        self._clock = clock

    async def run(self, job: Job, grant: Grant) -> None:
        """Make a job's call, unless there is nothing to call any more. The grant is settled in every case."""
        crash_point("worker.after_reserve")
        begun = await self._begin(job, alone=job.suspect)
        told = begun or Begun(by_deliveries(job))
        if told.verdict != "run":
            await self._upstream.refund(grant)
            await self._not_run(job, told, fly=begun is not None)
            return
        WAIT_SECONDS.labels(self._upstream.backend.name).observe(self._waited_s(job))
        crash_point("worker.after_begin")
        await self._call(job, grant, fly=begun is not None)

    async def look(self, job: Job) -> None:
        """See what has become of a job that may have been answered, or runs elsewhere; else it gets in line."""
        begun = await self._begin(job, look=True, alone=job.suspect)
        told = begun or Begun(by_deliveries(job))
        if told.verdict == "run":
            self._desk.put_back(job)
        else:
            await self._not_run(job, told, fly=begun is not None)

    async def _not_run(self, job: Job, begun: Begun, *, fly: bool = True) -> None:
        """There is nothing to call: it has been answered, somebody else runs it, nobody waits any more, or it may kill
        this worker.
        """
        await self._give_back(job, begun)
        match begun.verdict:
            case "busy":
                self._desk.hold(job, begun.busy_ms)
                return
            case "suspect":
                job.suspect, job.counted = True, fly
                self._desk.put_back(job)
                return
            case "poison":
                await self._condemn(job, begun, fly=fly)
                return
            case "answered" | "hit":
                if not await self._passed_on(job, begun):
                    return
            case "redispatch":
                if not await self._redispatched(job, begun.number):
                    # Nobody else takes it: the next dispatch is made here.
                    job.call = msgspec.structs.replace(job.call, number=begun.number)
                    self._desk.hold(job, 0)
                    return
        if _is_dead(job, begun):
            await self._desk.reject(job)
        else:
            await self._desk.ack(job)

    async def _give_back(self, job: Job, begun: Begun) -> None:
        """What a job that has ended need not hold any more."""
        if begun.verdict in {"answered", "hit", "nobody"}:
            await self._desk.end_turn(job)
        if begun.verdict == "nobody" and not job.call.attempts + job.attempts:
            await self._desk.give_quota_back(job)

    async def _passed_on(self, job: Job, begun: Begun) -> bool:
        """Tell those who wait for a job that has been answered; False if some could not be told yet."""
        if begun.answer is None:
            return True
        source: Source | None = "cache" if begun.verdict == "hit" else None
        return await self._desk.tell(job, begun.answer, begun.waiters, source, dead=_is_dead(job, begun))

    async def _condemn(self, job: Job, begun: Begun, *, fly: bool) -> None:
        """End a call that has killed too many workers, unless somebody else does."""
        owned = await self._begin(job) if fly else None
        if owned is None:
            await self._ending.condemn(job, begun.deaths or job.deliveries, fly=False)
        elif owned.verdict == "poison":
            await self._ending.condemn(job, owned.deaths, fly=True)
        elif owned.verdict == "run":
            # One of those it was said to have killed lives.
            self._desk.put_back(job)
        else:
            await self._not_run(job, owned)

    async def _redispatched(self, job: Job, number: int) -> bool:
        for station in await self._desk.elsewhere(job, only_ready=False):
            if await self._desk.send(job, number, station):
                return True
        return False

    async def _begin(self, job: Job, *, look: bool = False, alone: bool = False) -> Begun | None:
        """None: there is no flight, or Redis is away."""
        if not job.call.flight:
            return None
        try:
            begun = await self._flights.begin(job.call, job.owner, redelivered=job.redelivered, look=look, alone=alone)
        except RedisAway:
            return None
        if begun.verdict != "busy" or not job.redelivered or not await self._desk.died(begun.owner):
            return begun
        # The broker has lost the connection of the one who ran it, and the fleet has not heard of it for long enough:
        # neither alone would say that it died.
        with suppress(RedisAway):
            begun = await self._flights.begin(
                job.call, job.owner, redelivered=True, look=look, dead_owner=begun.owner, alone=alone
            )
        return begun

    async def _call(self, job: Job, grant: Grant, *, fly: bool) -> None:
        self._desk.begin_turn(job)
        try:
            await self._reporter.started(self._desk.outbox, job)
        except BrokerUnavailable:
            await self._upstream.refund(grant)
            raise
        self._repeats.called()
        try:
            finding = await self._upstream.call(job, grant, fly=fly, left_s=self._left_s(job))
        except asyncio.CancelledError:
            # This process stops in mid-call: whoever gets the call next need not wait for the lease.
            if fly:
                with suppress(RedisAway):
                    await self._flights.release(job.call, job.owner, keep=True)
            raise
        await self._tell_consequences(job, finding)
        if finding.abandoned:
            await self._desk.end_turn(job)
            await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
            await self._desk.ack(job)
        elif finding.result.outcome.ok:
            await self._ending.answered(job, finding, fly=fly)
        else:
            await self._failed(job, finding, fly=fly)

    async def _tell_consequences(self, job: Job, finding: Finding) -> None:
        """What the call did to the whole fleet's use of this backend."""
        with suppress(BrokerUnavailable):
            if finding.breaker is not None:
                await self._reporter.breaker(self._desk.outbox, finding.breaker, finding.result.signature)
            if finding.blocked_s is not None:
                await self._reporter.throttled(self._desk.outbox, job, finding, finding.blocked_s)

    async def _failed(self, job: Job, finding: Finding, *, fly: bool) -> None:
        """Tell, then pass it on, put it back, or give up."""
        result = finding.result
        await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
        if fly:
            await self._wait_for_the_last(job)
        if not result.outcome.rate_only:
            failed = tuple(dict.fromkeys((*job.call.failed, job.hop.backend)))
            job.call = msgspec.structs.replace(job.call, failed=failed)
        error = error_of(job, finding)
        # What comes of it if there is no time for another call; a refusal for its rate is nothing that callers see.
        job.error = job.error if result.outcome.rate_only else error
        # What only was too much for now goes where it is served at once; what failed, to whoever lives.
        elsewhere = await self._desk.elsewhere(job, only_ready=result.outcome.rate_only)
        match self._step(job, result, further=bool(elsewhere)):
            case Failover():
                await self._pass_on(job, finding, elsewhere, fly=fly)
            case Requeue() if elsewhere:
                await self._pass_on(job, finding, elsewhere, fly=fly)
            case Requeue():
                await self._again(job, finding, 0.0, fly=fly)
            case Again(after_s):
                job.retries += 1
                await self._again(job, finding, after_s, fly=fly)
            case GiveUp():
                await self._ending.failed(job, error, fly=fly, finding=finding)

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

    async def _pass_on(self, job: Job, finding: Finding, elsewhere: Sequence[int], *, fly: bool) -> None:
        """Send the job to the first of these stations that takes it, as the next dispatch of its flight."""
        number = await self._release(job, keep=False) if fly else job.call.number
        if number is None:
            return
        crash_point("worker.after_release")
        # If none of them takes it after all, it comes back to this backend.
        for station in (*elsewhere, job.call.hop):
            if await self._desk.send(job, number, station):
                crash_point("worker.after_forward")
                await self._reporter.retrying(self._desk.outbox, job, finding, 0.0, job.call.route[station].backend)
                await self._desk.ack(job)
                return
        job.call = msgspec.structs.replace(job.call, number=number)
        self._desk.put_back(job)

    async def _again(self, job: Job, finding: Finding, after_s: float, *, fly: bool) -> None:
        """Let the job wait for budget once more, after a pause; it keeps no place among the running ones meanwhile.

        During a pause the dispatch stays its own: another copy of the call would not pause.
        """
        if fly and after_s:
            with suppress(RedisAway):
                lease_ms = round(after_s * 1000) + PAUSE_LEASE_MS
                await self._flights.renew(job.call, job.owner, lease_ms=lease_ms, rests=True)
        elif fly and await self._release(job, keep=True) is None:
            return
        await self._reporter.retrying(self._desk.outbox, job, finding, after_s, job.hop.backend)
        self._desk.put_back(job, after_s)

    async def _release(self, job: Job, *, keep: bool) -> int | None:
        """Give the dispatch back; None if another owner has the flight: then its outcome counts, and the job ends."""
        try:
            number = await self._flights.release(job.call, job.owner, keep=keep)
        except RedisAway:
            return job.call.number
        if number is None:
            await self._desk.ack(job)
        return number

    async def tell_early(self, job: Job, error: OptimizerError) -> None:
        """End a held job that would miss its deadline anyway, without a call."""
        begun = await self._begin(job, alone=True)
        if begun is None or begun.verdict == "run":
            # If it failed before, that is what its caller can use.
            await self._ending.failed(job, job.error or error, fly=begun is not None)
        else:
            await self._not_run(job, begun)

    def _left_s(self, job: Job) -> float:
        return (job.deadline_ms - self._clock.now_ms()) / 1000

    def _waited_s(self, job: Job) -> float:
        return max(0.0, (self._clock.now_ms() - job.call.waiter.since_ms) / 1000)


def _is_dead(job: Job, begun: Begun) -> bool:
    """Whether it belongs to the dead letters: whoever ended it died before it could say so to the broker."""
    return begun.answer is not None and begun.answer.dead and job.redelivered
