"""One call through a worker, from its reservation to its end.

::

    grant ─► begin ─┬─ run ─────────► call ─► settle ─┬─ answered ─► (with it) complete ─► reply to all ─► event ─► ack
                    ├─ answered, hit ► reply, ack     ├─ failed ───► release ─► publish to another backend ─► ack
                    ├─ busy ────────► hold it         ├─ refused for its rate ─► release ─► wait for budget again
                    ├─ nobody, moved ► ack            ├─ failed ───► pause, reserve again, call again
                    ├─ suspect ─────► run it alone    └─ failed ───► complete with the error ─► reply ─► ack
                    └─ poison ──────► complete with an error ─► reply ─► dead letter

Redis away: the call is made without a flight, and the waiter that it carries is answered.
"""

import asyncio
from contextlib import suppress

import msgspec

from optimizer_service.crash_points import crash_point
from optimizer_state.budget import BreakerChange, Grant
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_state.verdicts import Begun
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import Source
from optimizer_workers.desk import Desk
from optimizer_workers.ending import Ending
from optimizer_workers.failing import Failing
from optimizer_workers.job import Job
from optimizer_workers.repeats import Repeats
from optimizer_workers.reporter import Reporter
from optimizer_workers.suspicion import by_deliveries, under_suspicion
from optimizer_workers.traced import begin_job
from optimizer_workers.upstream import Finding, Upstream


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
        self._failing = Failing(desk, flights, repeats, ending, reporter, clock)
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
        self._upstream.meters.waited.observe(self._waited_s(job))
        crash_point("worker.after_begin")
        await self._call(job, grant, fly=begun is not None)

    async def look(self, job: Job) -> None:
        """See what has become of a job that may have been answered, or runs elsewhere; else it gets in line."""
        begun = await self._begin(job, look=True, alone=job.suspect)
        told = begun or Begun(by_deliveries(job))
        if told.verdict != "run":
            await self._not_run(job, told, fly=begun is not None)
        elif begun is None or job.suspect or not under_suspicion(job):
            self._desk.put_back(job)
        else:
            await self._acquit(job)

    async def _acquit(self, job: Job) -> None:
        """Redis knows whom a call has killed: what RabbitMQ has counted were connections that broke. A new copy counts
        from nothing, for the day when Redis is away and there is no other count.
        """
        job.call, job.deliveries = msgspec.structs.replace(job.call, deliveries=0), 0
        if await self._desk.send(job, job.call.number, job.call.hop):
            await self._desk.ack(job)
        else:
            self._desk.put_back(job)

    async def _not_run(self, job: Job, begun: Begun, *, fly: bool = True) -> None:
        """There is nothing to call: it has been answered, somebody else runs it, nobody waits any more, or it may kill
        this worker.
        """
        await self._give_back(job, begun)
        match begun.verdict:
            case "nobody":
                await self._reporter.unwanted(self._desk.outbox, job)
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
        told = await self._desk.tell(job, begun.answer, begun.waiters, source, dead=_is_dead(job, begun))
        if begun.verdict == "hit":
            await self._reporter.hit(self._desk.outbox, job, begun.answer, len(begun.waiters), self._clock.now_ms())
        elif job.redelivered:
            # Whoever ended it may have died before it could say so.
            await self._reporter.ended_before(self._desk.outbox, job, begun.answer, len(begun.waiters))
        return told

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
            # A call that reaches the backend is to be known of, even if this process is killed while it runs.
            await self._desk.outbox.handed_over()
            crash_point("worker.after_tell")
        except BrokerUnavailable:
            await self._upstream.refund(grant)
            raise
        self._repeats.called()
        job.step = begin_job(job, self._clock.now_ms())
        try:
            await self._made(job, grant, fly=fly)
        finally:
            if job.step is not None:
                job.step.end()
                job.step = None

    async def _made(self, job: Job, grant: Grant, *, fly: bool) -> None:
        try:
            finding = await self._upstream.call(job, grant, fly=fly, left_s=job.left_s(self._clock.now_ms()))
        except asyncio.CancelledError:
            # This process stops in mid-call: whoever gets the call next need not wait for the lease.
            if fly:
                with suppress(RedisAway):
                    await self._flights.release(job.call, job.owner, keep=True)
            raise
        if finding.abandoned:
            await self._desk.end_turn(job)
            await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
            await self._desk.ack(job)
            return
        # A task of its own: together with what ends the flight it is one round trip.
        settling = asyncio.ensure_future(self._upstream.settle(grant, finding))
        if finding.result.outcome.ok:
            try:
                await self._ending.answered(job, finding, fly=fly)
            finally:
                await self._tell_consequences(job, finding, await settling)
        else:
            await self._tell_consequences(job, finding, await settling)
            await self._failing.failed(job, finding, fly=fly)

    async def _tell_consequences(self, job: Job, finding: Finding, change: BreakerChange | None) -> None:
        """What the call did to the whole fleet's use of this backend."""
        with suppress(BrokerUnavailable):
            if change is not None:
                await self._reporter.breaker(self._desk.outbox, change, finding.result.signature)
            if finding.blocked_s is not None:
                await self._reporter.throttled(self._desk.outbox, job, finding, finding.blocked_s)

    async def tell_early(self, job: Job, error: OptimizerError) -> None:
        """End a held job that would miss its deadline anyway, without a call."""
        begun = await self._begin(job, alone=True)
        if begun is None or begun.verdict == "run":
            # If it failed before, that is what its caller can use.
            await self._ending.failed(job, job.error or error, fly=begun is not None)
        else:
            await self._not_run(job, begun)

    def _waited_s(self, job: Job) -> float:
        return max(0.0, (self._clock.now_ms() - job.call.waiter.since_ms) / 1000)


def _is_dead(job: Job, begun: Begun) -> bool:
    """Whether it belongs to the dead letters: whoever ended it died before it could say so to the broker."""
    return begun.answer is not None and begun.answer.dead and job.redelivered
