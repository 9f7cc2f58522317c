"""What a worker tells: events about its calls."""

from typing import Any

from optimizer_backends.outcome import Outcome
from optimizer_service.outbox import Outbox
from optimizer_state.answer import Answer
from optimizer_state.budget import BreakerChange
from optimizer_wire import events
from optimizer_wire.errors import DeadlineExceeded, OptimizerError
from optimizer_wire.ids import new_id
from optimizer_wire.messages import Timings
from optimizer_wire.text import prompt_chars
from optimizer_workers.job import Job
from optimizer_workers.metrics import BREAKER_CHANGES
from optimizer_workers.upstream import Finding


class Reporter:
    """Tells events about the calls of one backend; every method raises `BrokerUnavailable` if the channel is gone."""

    def __init__(self, backend: str, source: str) -> None:
        self._backend = backend
        self._source = source

    async def started(self, outbox: Outbox, job: Job) -> None:
        """An upstream call begins, under an id of its own."""
        job.call_id = new_id()
        await self._tell(
            outbox,
            events.CALL_STARTED,
            job,
            attempt=job.call.attempts + job.attempts + 1,
            waited_for=job.waited_for,
            waited_ms=float(job.waited_ms),
        )

    async def finished(self, outbox: Outbox, job: Job, finding: Finding, *, waiters: int, now_ms: int) -> None:
        """An upstream call gave an answer."""
        await self._tell(outbox, events.CALL_FINISHED, job, waiters=waiters, **self._result(job, finding, now_ms))

    async def failed(self, outbox: Outbox, job: Job, finding: Finding, now_ms: int) -> None:
        """An upstream call gave none."""
        result = finding.result
        await self._tell(
            outbox,
            events.CALL_FAILED,
            job,
            retry_after_s=result.retry_after_s,
            error_code=result.outcome.error_code,
            error_signature=result.signature,
            message=result.message,
            **self._result(job, finding, now_ms),
        )

    async def retrying(self, outbox: Outbox, job: Job, finding: Finding, after_s: float, to: str) -> None:
        """A failed call goes on: to another backend, or here after a pause."""
        await self._tell(
            outbox,
            events.RETRY,
            job,
            outcome=finding.result.outcome.value,
            attempt=job.call.attempts + job.attempts,
            retry_after_s=after_s,
            message=f"next: {to}",
        )

    async def throttled(self, outbox: Outbox, job: Job, finding: Finding, pause_s: float) -> None:
        """The backend refused a call for its rate."""
        result = finding.result
        await self._tell(
            outbox,
            events.RATE_LIMIT,
            job,
            outcome=result.outcome.value,
            status=result.status,
            attempt=job.call.attempts + job.attempts,
            retry_after_s=pause_s,
            message=result.message,
        )

    async def breaker(self, outbox: Outbox, change: BreakerChange, why: str) -> None:
        """The backend's circuit breaker opened, let a call through to see, or closed."""
        words = {
            "open": f"{change.failures} failures, the last: {why}; no calls for {change.for_ms / 1000:.0f} s",
            "half_open": "one call goes first, to see whether the backend is well",
            "closed": "the backend answered",
        }
        happened = events.event(
            f"optimizer.circuit_breaker.{change.state}",
            self._source,
            backend=self._backend,
            outcome=change.state,
            retry_after_s=change.for_ms / 1000 if change.state == "open" else None,
            message=words[change.state],
        )
        BREAKER_CHANGES.labels(self._backend, change.state).inc()
        await outbox.tell(happened)

    async def probing(self, outbox: Outbox) -> None:
        """The backend's circuit breaker lets one call through."""
        await self.breaker(outbox, BreakerChange("half_open"), "")

    async def waiting(self, outbox: Outbox, limit: str, wait_ms: int, held: int) -> None:
        """Calls have begun to wait for budget."""
        happened = events.event(
            events.RATE_LIMIT,
            self._source,
            backend=self._backend,
            outcome="waiting",
            retry_after_s=wait_ms / 1000,
            message=f"{held} {'call waits' if held == 1 else 'calls wait'} for budget: {limit} is used up",
        )
        await outbox.tell(happened)

    async def moved(self, outbox: Outbox, job: Job, to: str) -> None:
        """A call that would have waited here for budget was sent on."""
        await self._tell(outbox, events.RATE_LIMIT, job, outcome="moved", message=f"next: {to}")

    async def gave_up(self, outbox: Outbox, job: Job, error: OptimizerError, waiters: int) -> None:
        """Requests ended with an error."""
        await self._tell(outbox, events.ERROR, job, error_code=error.code, message=error.message, waiters=waiters)

    async def hit(self, outbox: Outbox, job: Job, answer: Answer, waiters: int, now_ms: int) -> None:
        """A call was not made: its answer is stored since it was sent."""
        total_ms = float(max(0, now_ms - job.call.waiter.since_ms))
        await self._say(
            outbox,
            events.CACHE_HIT,
            job,
            backend=answer.backend,
            model=answer.model,
            answered_from="cache",
            usage=answer.usage,
            cost_usd=0.0,
            saved_usd=answer.cost_usd,
            age_s=max(0, now_ms - answer.stored_ms) / 1000,
            waiters=waiters,
            timings=Timings(total_ms, 0.0, total_ms),
        )

    async def ended_before(self, outbox: Outbox, job: Job, answer: Answer, waiters: int) -> None:
        """A call has ended at a worker that may have died before it told so: it is told (again) under the same id."""
        if answer.error is not None:
            code, message = answer.error.code, answer.error.message
            await self._tell(outbox, events.ERROR, job, error_code=code, message=message, waiters=waiters)
        elif answer.call_id is not None:
            total_ms = float(max(0, answer.stored_ms - job.call.waiter.since_ms))
            await self._say(
                outbox,
                events.CALL_FINISHED,
                job,
                call_id=answer.call_id,
                backend=answer.backend,
                model=answer.model,
                attempt=answer.attempts,
                prompt_chars=prompt_chars(job.call.params),
                outcome=Outcome.answered.value,
                waiters=waiters,
                usage=answer.usage,
                cost_usd=answer.cost_usd,
                price_version=answer.price_version,
                timings=Timings(max(0.0, total_ms - answer.call_ms), answer.call_ms, total_ms),
            )

    async def unwanted(self, outbox: Outbox, job: Job) -> None:
        """Nobody waits for a call any more: it is not made."""
        message = "Nobody waited for it any more: it was cancelled, or its deadline has passed."
        await self._tell(outbox, events.ERROR, job, error_code=DeadlineExceeded.code, message=message, waiters=0)

    async def misunderstood(self, outbox: Outbox, error: OptimizerError) -> None:
        """A message on a call queue was not a call."""
        happened = events.event(
            events.ERROR, self._source, backend=self._backend, error_code=error.code, message=error.message
        )
        await outbox.tell(happened)

    async def worker(self, outbox: Outbox, kind: str, message: str) -> None:
        """This worker is ready, or leaves."""
        await outbox.tell(events.event(kind, self._source, backend=self._backend, message=message))

    @staticmethod
    def _result(job: Job, finding: Finding, now_ms: int) -> dict[str, Any]:
        result = finding.result
        total_ms = float(max(0, now_ms - job.call.waiter.since_ms))
        return {
            "attempt": job.call.attempts + job.attempts,
            "outcome": result.outcome.value,
            "status": result.status,
            "usage": result.usage,
            "cost_usd": finding.cost_usd,
            "price_version": finding.price_version,
            "timings": Timings(max(0.0, total_ms - finding.call_ms), finding.call_ms, total_ms),
        }

    async def _tell(self, outbox: Outbox, kind: str, job: Job, **fields: Any) -> None:
        await self._say(
            outbox,
            kind,
            job,
            call_id=job.call_id,
            backend=self._backend,
            model=job.hop.model,
            prompt_chars=prompt_chars(job.call.params),
            **fields,
        )

    async def _say(self, outbox: Outbox, kind: str, job: Job, **fields: Any) -> None:
        call = job.call
        happened = events.event(
            kind,
            self._source,
            request_id=call.waiter.id,
            work_id=call.work_id,
            fingerprint=call.fingerprint,
            agent=call.waiter.agent,
            tenant=call.waiter.tenant,
            op=call.op,
            task=call.task,
            priority=call.waiter.priority,
            tags=call.tags,
            **fields,
        )
        await outbox.tell(happened)
