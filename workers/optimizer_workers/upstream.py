"""One upstream call: the HTTP request under the backend's budget, and what it used and cost."""

import asyncio
import time
from typing import Literal

import msgspec

from optimizer_backends.http import BackendClient
from optimizer_backends.outcome import Outcome
from optimizer_backends.prices import Prices
from optimizer_backends.result import CallResult
from optimizer_config.amounts import Amounts
from optimizer_config.model import Backend
from optimizer_service.crash_points import crash_point
from optimizer_state.answer import Answer
from optimizer_state.budget import BreakerChange, Grant, Settled
from optimizer_state.flights import RENEW_S, Flights
from optimizer_wire.codec import MAX_BODY_BYTES
from optimizer_wire.messages import NO_RESULT
from optimizer_workers.allowance import Allowance
from optimizer_workers.estimate import Estimator
from optimizer_workers.job import Job
from optimizer_workers.latency import Latency
from optimizer_workers.metrics import Meters
from optimizer_workers.renewal import Renewal
from optimizer_workers.throttle import block_after
from optimizer_workers.traced import begin_call, end_call

# Of the time that is left, a call may take this share if the route goes on: the next backend needs time as well. A
# backend whose answers are known to take longer gets that much.
SHARE_OF_TIME = 0.6
LONGER_THAN_KNOWN = 1.5
# A call that was given less time than twice what answers usually take says nothing about the backend's health.
FAIR_TIME = 2.0
# What a reply carries besides its result fits into the rest.
MAX_RESULT_BYTES = MAX_BODY_BYTES - 64 * 1024
_encoder = msgspec.msgpack.Encoder()


class Finding(msgspec.Struct, frozen=True):
    """What an upstream call came to: the provider's result, its cost, its time, and whether anybody still waits.

    `blocked_s`: for how long the backend is left alone because of it; `settled`: what its reservation is to be settled
    with, None if it is.
    """

    result: CallResult
    cost_usd: float | None
    price_version: str | None
    call_ms: float
    encoded: msgspec.Raw = NO_RESULT
    abandoned: bool = False
    blocked_s: float | None = None
    settled: Settled | None = None


class Upstream:
    """The backend as its worker sees it."""

    def __init__(
        self,
        backend: Backend,
        client: BackendClient,
        prices: Prices,
        allowance: Allowance,
        estimator: Estimator,
        flights: Flights,
    ) -> None:
        self.backend = backend
        self.latency = Latency()
        self.meters = Meters(backend)
        self._client = client
        self._prices = prices
        self._allowance = allowance
        self._estimator = estimator
        self._flights = flights

    async def call(self, job: Job, grant: Grant, *, fly: bool, left_s: float) -> Finding:
        """Make the call; its reservation is to be settled after it. With `fly` the flight's lease is renewed meanwhile.

        The call is given up when nobody waits for it any more, and settled then.
        """
        job.attempts += 1
        started = time.monotonic()
        timeout_s = self._timeout_s(job, fly, left_s)
        step = begin_call(job, self.backend)
        job.call_trace = step.trace if step else job.call.waiter.trace
        renewal = Renewal(self._flights, job, RENEW_S) if fly else None
        self.meters.running.inc()
        result: CallResult | None = None
        try:
            result = await self._client.call(
                job.call.op,
                job.hop.model,
                job.call.params,
                timeout_s,
                lambda: self._allowance.written(grant),
                job.call_id,
                job.call_trace,
            )
        except asyncio.CancelledError:
            # Else this process stops; the call itself was not given up.
            if renewal is None or not renewal.gave_up():
                raise
        finally:
            self.meters.running.dec()
            end_call(step, result)
            if renewal is not None:
                renewal.end()
            if result is None:
                # Taken as written when it began; whether the backend is well, nobody knows.
                await self._allowance.settle(grant, Settled((time.monotonic() - started) * 1000, None, "unknown"))
        call_ms = (time.monotonic() - started) * 1000
        if result is None:
            gone = CallResult(outcome=Outcome.cancelled, message="Nobody waits for the answer any more.")
            return Finding(gone, None, None, call_ms, abandoned=True)
        crash_point("worker.after_call")
        return await self._ended(job, grant, result, call_ms, timeout_s)

    async def settle(self, grant: Grant, finding: Finding) -> BreakerChange | None:
        """Settle the reservation of a call that has ended; returns what that did to the circuit breaker."""
        return None if finding.settled is None else await self._allowance.settle(grant, finding.settled)

    async def refund(self, grant: Grant) -> None:
        """Give a reservation back that was not used."""
        await self._allowance.give_back(grant)

    def _timeout_s(self, job: Job, fly: bool, left_s: float) -> float:
        """With a flight, a later waiter may join: the renewal ends the call when nobody waits."""
        if job.further:
            known_s = LONGER_THAN_KNOWN * self.latency.longest_ms / 1000
            return min(self.backend.timeout_s, max(left_s * SHARE_OF_TIME, min(left_s, known_s), 0.001))
        return self.backend.timeout_s if fly else min(self.backend.timeout_s, max(left_s, 0.001))

    def _health(self, outcome: Outcome, timeout_s: float) -> Literal["well", "ill", "unknown"]:
        """What an outcome says about the backend's health. A refusal for its rate says nothing either way."""
        if outcome is Outcome.timed_out and timeout_s < FAIR_TIME * self.latency.median_ms / 1000:
            return "unknown"
        if outcome.counts_for_breaker:
            return "ill"
        return "unknown" if block_after(outcome, None) is not None else "well"

    async def _ended(self, job: Job, grant: Grant, result: CallResult, call_ms: float, timeout_s: float) -> Finding:
        """Account for what was used."""
        encoded = _encoded(result)
        cost_usd, version = self._account(job, result, call_ms)
        blocked_s = await self._block(grant, result)
        ago_ms = None if result.written_at is None else (time.monotonic() - result.written_at) * 1000
        settled = Settled(
            written_ago_ms=ago_ms,
            used=self._used(job, result, cost_usd),
            health=self._health(result.outcome, timeout_s),
            remaining=result.remaining,
        )
        if result.outcome.ok:
            self.latency.add(call_ms)
        return Finding(result, cost_usd, version, call_ms, encoded, blocked_s=blocked_s, settled=settled)

    def _used(self, job: Job, result: CallResult, cost_usd: float | None) -> Amounts | None:
        if result.usage is not None:
            return self._estimator.used(result.usage, cost_usd, job.amounts)
        # A refused call cost its request, and none of the tokens that were reserved for its answer.
        return None if result.outcome.ok or result.outcome is Outcome.timed_out else Amounts(requests=1)

    async def _block(self, grant: Grant, result: CallResult) -> float | None:
        """Before the reservation is settled: no other call is to start in between."""
        block = block_after(result.outcome, result.retry_after_s, self._allowance.reset_s())
        return None if block is None else await self._allowance.block(grant, block)

    def _account(self, job: Job, result: CallResult, call_ms: float) -> tuple[float | None, str | None]:
        """The cost of a call in US dollars and the version of its price, as far as known."""
        meters = self.meters
        meters.called(job.hop.model, result.outcome, call_ms / 1000)
        job.used_tokens = 0
        if result.usage is None:
            return None, None
        job.used_tokens = result.usage.total_tokens
        meters.tokens_in.inc(result.usage.input_tokens)
        meters.tokens_out.inc(result.usage.output_tokens)
        cost = self._prices.cost(self.backend, result.model or job.hop.model, result.usage, None)
        if cost.usd is None:
            meters.unpriced.inc()
        else:
            meters.cost.inc(cost.usd)
        self._estimator.learn(job.hop.model, job.chars, result.usage, cost.usd)
        return cost.usd, cost.version


def _encoded(result: CallResult) -> msgspec.Raw:
    """The answer as it travels. One that is too large for a reply is none: the call has failed then."""
    if not result.outcome.ok:
        return NO_RESULT
    try:
        body = _encoder.encode(result.body)
    except (OverflowError, RecursionError, ValueError):
        # JSON knows larger numbers and deeper nesting than a reply can carry.
        result.outcome, result.signature, result.usage = Outcome.transient, "answer not passable", None
        result.message = "The backend's answer holds numbers or nesting that no reply can carry."
        return NO_RESULT
    if len(body) <= MAX_RESULT_BYTES:
        return msgspec.Raw(body)
    result.outcome, result.signature = Outcome.invalid, "answer too large"
    result.message = f"The answer has {len(body):,} bytes; at most {MAX_RESULT_BYTES:,} fit into a reply."
    return NO_RESULT


def answer_of(job: Job, finding: Finding, now_ms: int) -> Answer:
    """A finding as the outcome of a flight."""
    result = finding.result
    return Answer(
        ok=result.outcome.ok,
        leader=job.call.waiter.id,
        stored_ms=now_ms,
        result=finding.encoded,
        backend=job.hop.backend,
        model=result.model or job.hop.model,
        task=job.call.task,
        usage=result.usage,
        cost_usd=finding.cost_usd,
        call_ms=finding.call_ms,
        attempts=job.call.attempts + job.attempts,
        call_id=job.call_id,
        price_version=finding.price_version,
    )
