"""What follows a call that failed: another backend, another call after a pause, budget again, or the end."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from optimizer_backends.result import CallResult
from optimizer_service.crash_points import crash_point
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_workers.desk import Desk
from optimizer_workers.ending import Ending, error_of
from optimizer_workers.job import Job
from optimizer_workers.metrics import ELSEWHERE, HERE, RETRIES
from optimizer_workers.repeats import Repeats
from optimizer_workers.reporter import Reporter
from optimizer_workers.retry import Again, Failover, GiveUp, Requeue, after_failure
from optimizer_workers.upstream import Finding

# Beyond its pause, a call has so long to begin again before another copy of it may.
PAUSE_LEASE_MS = 2_000


class Failing:
    """Goes on with jobs whose call failed; each ends forwarded, held, or acked."""

    def __init__(
        self, desk: Desk, flights: Flights, repeats: Repeats, ending: Ending, reporter: Reporter, clock: FleetClock
    ) -> None:
        self._desk = desk
        self._flights = flights
        self._repeats = repeats
        self._ending = ending
        self._reporter = reporter
        self._clock = clock

    async def failed(self, job: Job, finding: Finding, *, fly: bool) -> None:
        """Tell, then pass the job on, put it back, or give up; with `fly` it has a flight."""
        result = finding.result
        await self._reporter.failed(self._desk.outbox, job, finding, self._clock.now_ms())
        if fly and not await self._is_waited_for(job):
            await self._desk.end_turn(job)
            await self._reporter.unwanted(self._desk.outbox, job)
            await self._desk.ack(job)
            return
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

    async def _is_waited_for(self, job: Job) -> bool:
        """Whether anybody may still wait: others may for longer than the one that the call carries."""
        with suppress(RedisAway):
            latest_ms = await self._flights.latest_deadline(job.call)
            job.deadline_ms = max(job.deadline_ms, latest_ms or 0)
            return latest_ms != 0
        return True

    def _step(self, job: Job, result: CallResult, *, further: bool) -> Failover | Requeue | Again | GiveUp:
        return after_failure(
            result.outcome,
            further=further,
            retries=job.retries,
            pauses_s=self._repeats.pauses_s,
            left_s=job.left_s(self._clock.now_ms()),
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
                RETRIES.labels(job.hop.backend, ELSEWHERE).inc()
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
        RETRIES.labels(job.hop.backend, HERE).inc()
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
