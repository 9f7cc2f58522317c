"""How a job ends: its flight is completed, its waiters are told, its message is acked."""

import msgspec

from optimizer_service.crash_points import crash_point
from optimizer_service.metrics import saved_by_collapsing
from optimizer_state.answer import Answer
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_state.verdicts import Completed
from optimizer_wire.errors import CODES, DeadlineExceeded, InternalError, OptimizerError
from optimizer_workers.desk import Desk
from optimizer_workers.job import Job
from optimizer_workers.metrics import CONDEMNED
from optimizer_workers.reporter import Reporter
from optimizer_workers.traced import link_collapsed
from optimizer_workers.unstored import Unstored
from optimizer_workers.upstream import Finding, answer_of


class Ending:
    """Ends jobs. With `fly` their flight is completed; without it the one waiter is answered that the call carries."""

    def __init__(self, desk: Desk, flights: Flights, unstored: Unstored, reporter: Reporter, clock: FleetClock) -> None:
        self._desk = desk
        self._flights = flights
        self._unstored = unstored
        self._reporter = reporter
        self._clock = clock

    async def answered(self, job: Job, finding: Finding, *, fly: bool) -> None:
        """The backend answered."""
        answer = answer_of(job, finding, self._clock.now_ms())
        ttl_ms = job.call.store_ttl_ms if finding.result.complete else 0
        ended = await self._complete(job, answer, ttl_ms, fly=fly)
        crash_point("worker.after_store")
        # An owner that lost its lease still answers the one waiter it knows.
        waiters = ended.waiters if ended.mine else (job.call.waiter,)
        told = await self._desk.tell(job, answer, waiters)
        saved_by_collapsing.inc((finding.cost_usd or 0.0) * max(0, len(waiters) - 1))
        crash_point("worker.after_reply")
        link_collapsed(job, waiters, self._clock.now_ms())
        await self._reporter.finished(
            self._desk.outbox, job, finding, waiters=len(waiters), now_ms=self._clock.now_ms()
        )
        crash_point("worker.after_event")
        if told:
            await self._desk.ack(job)
        crash_point("worker.after_ack")

    async def failed(self, job: Job, error: OptimizerError, *, fly: bool, finding: Finding | None = None) -> None:
        """End the job with an error: its waiters are told."""
        now_ms = self._clock.now_ms()
        if finding is None:
            answer = Answer(ok=False, leader=job.call.waiter.id, stored_ms=now_ms, task=job.call.task, error=error.info)
        else:
            answer = msgspec.structs.replace(answer_of(job, finding, now_ms), error=error.info)
        ended = await self._complete(job, answer, 0, fly=fly)
        told = True
        if ended.mine:
            told = await self._desk.tell(job, answer, ended.waiters)
            link_collapsed(job, ended.waiters, now_ms)
            await self._reporter.gave_up(self._desk.outbox, job, error, len(ended.waiters))
        if told:
            await self._desk.ack(job)

    async def break_off(self, job: Job) -> None:
        """End a job that met a fault of ours."""
        error = InternalError(f"The worker of {job.hop.backend} failed over this request; see its log.")
        await self._bury(job, error, fly=bool(job.call.flight))

    async def condemn(self, job: Job, deaths: int, *, fly: bool) -> None:
        """End a job that has killed too many workers."""
        CONDEMNED.labels(job.hop.backend).inc()
        await self._bury(job, deadly(deaths), fly=fly)

    async def _bury(self, job: Job, error: OptimizerError, *, fly: bool) -> None:
        """Tell the job's waiters; its message goes to the dead letters."""
        leader, now_ms = job.call.waiter.id, self._clock.now_ms()
        answer = Answer(ok=False, leader=leader, stored_ms=now_ms, task=job.call.task, error=error.info, dead=True)
        ended = await self._complete(job, answer, 0, fly=fly)
        crash_point("poison.after_store")
        told = True
        if ended.mine:
            told = await self._desk.tell(job, answer, ended.waiters, dead=True)
            await self._reporter.gave_up(self._desk.outbox, job, error, len(ended.waiters))
        if told:
            await self._desk.reject(job)

    async def _complete(self, job: Job, answer: Answer, ttl_ms: int, *, fly: bool) -> Completed:
        ended = Completed(mine=True, waiters=(job.call.waiter,))
        try:
            if fly:
                ended = await self._flights.complete(job.call, job.owner, answer, store_ttl_ms=ttl_ms)
            elif job.call.flight:
                self._unstored.keep(job.call, "", answer, store_ttl_ms=ttl_ms)
        except RedisAway:
            self._unstored.keep(job.call, job.owner, answer, store_ttl_ms=ttl_ms)
        if ended.mine:
            await self._desk.end_turn(job)
            await self._desk.settle_quota(job, answer)
        return ended


def deadly(deaths: int) -> InternalError:
    """The error of a job that is not run any more."""
    return InternalError(
        f"The call was started {deaths} times, and each time its worker died. It is not started again; an operator "
        "finds it among the dead letters.",
        retryable=False,
    )


def too_late(job: Job, reason: str) -> DeadlineExceeded:
    """The error of a job whose backend takes it only after its deadline."""
    return DeadlineExceeded(f"{job.hop.backend} takes it only after its deadline ({reason}); it was not called.")


def error_of(job: Job, finding: Finding) -> OptimizerError:
    """The error that a call came to."""
    result = finding.result
    kind = CODES.get(result.outcome.error_code, InternalError)
    return kind(f"{job.hop.backend}: {result.message}", retry_after_s=result.retry_after_s)
