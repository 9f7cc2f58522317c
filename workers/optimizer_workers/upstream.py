"""One upstream call: the HTTP request under the backend's budget, and what it used and cost."""

import asyncio
import time
from contextlib import suppress

import msgspec

from optimizer_backends.http import BackendClient
from optimizer_backends.outcome import Outcome
from optimizer_backends.prices import Prices
from optimizer_backends.result import CallResult
from optimizer_config.model import Backend
from optimizer_state.budget import Budget, Grant
from optimizer_state.flights import RENEW_S, Answer, Flights
from optimizer_state.store import RedisAway
from optimizer_wire.codec import MAX_BODY_BYTES
from optimizer_wire.messages import NO_RESULT
from optimizer_workers.job import Job
from optimizer_workers.metrics import CALL_SECONDS, CALLS, COST, RUNNING, TOKENS, UNPRICED

# Of the time that is left, a call may take this share if the route goes on: the next backend needs time as well.
SHARE_OF_TIME = 0.6
ENOUGH_S = 30.0
# What a reply carries besides its result fits into the rest.
MAX_RESULT_BYTES = MAX_BODY_BYTES - 64 * 1024
_encoder = msgspec.msgpack.Encoder()


class Finding(msgspec.Struct, frozen=True):
    """What an upstream call came to: the provider's result, its cost, its time, and whether anybody still waits."""

    result: CallResult
    cost_usd: float | None
    price_version: str | None
    call_ms: float
    encoded: msgspec.Raw = NO_RESULT
    abandoned: bool = False


class Upstream:
    """The backend as its worker sees it."""

    def __init__(
        self, backend: Backend, client: BackendClient, prices: Prices, budget: Budget, flights: Flights
    ) -> None:
        self.backend = backend
        self._client = client
        self._prices = prices
        self._budget = budget
        self._flights = flights

    async def call(self, job: Job, grant: Grant, *, fly: bool, left_s: float) -> Finding:
        """Make the call and settle its reservation. With `fly` the flight's lease is renewed meanwhile.

        The call is given up when nobody waits for it any more.
        """
        job.attempts += 1
        started = time.monotonic()
        calling = asyncio.ensure_future(
            self._client.call(job.call.op, job.hop.model, job.call.params, self._timeout_s(job, fly, left_s))
        )
        renewing = asyncio.ensure_future(self._renew(job, calling)) if fly else None
        RUNNING.labels(self.backend.name).inc()
        result: CallResult | None = None
        try:
            with suppress(asyncio.CancelledError):
                result = await asyncio.shield(calling)
            if result is None and not calling.cancelled():
                raise asyncio.CancelledError  # this process stops; the call itself was not given up
        finally:
            RUNNING.labels(self.backend.name).dec()
            if renewing is not None:
                renewing.cancel()
            if not calling.done():
                calling.cancel()
            await self._settle(grant, result, started)
        call_ms = (time.monotonic() - started) * 1000
        if result is None:
            gone = CallResult(outcome=Outcome.cancelled, message="Nobody waits for the answer any more.")
            return Finding(gone, None, None, call_ms, abandoned=True)
        return self._account(job, result, call_ms)

    async def refund(self, grant: Grant) -> None:
        """Give a reservation back that was not used."""
        await self._budget.settle(grant, written_ago_ms=None)

    def _timeout_s(self, job: Job, fly: bool, left_s: float) -> float:
        """With a flight, a later waiter may join: the renewal ends the call when nobody waits."""
        if job.further:
            return min(self.backend.timeout_s, max(left_s * SHARE_OF_TIME, min(left_s, ENOUGH_S)))
        return self.backend.timeout_s if fly else min(self.backend.timeout_s, max(left_s, 0.001))

    async def _renew(self, job: Job, calling: "asyncio.Future[CallResult]") -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                if await self._flights.renew(job.call, job.owner) == "nobody":
                    calling.cancel()
                    return
            except RedisAway:
                continue

    async def _settle(self, grant: Grant, result: CallResult | None, started: float) -> None:
        """What counts is when the request was written; a cancelled call is taken as written when it began."""
        written = started if result is None else result.written_at
        ago_ms = None if written is None else (time.monotonic() - written) * 1000
        await asyncio.shield(self._budget.settle(grant, written_ago_ms=ago_ms))

    def _account(self, job: Job, result: CallResult, call_ms: float) -> Finding:
        encoded = _encoded(result)
        name = self.backend.name
        model = job.hop.model if job.hop.model in self.backend.models else "other"
        CALLS.labels(name, model, result.outcome.value).inc()
        CALL_SECONDS.labels(name).observe(call_ms / 1000)
        if result.usage is None:
            return Finding(result, None, None, call_ms, encoded)
        TOKENS.labels(name, "input").inc(result.usage.input_tokens)
        TOKENS.labels(name, "output").inc(result.usage.output_tokens)
        cost = self._prices.cost(self.backend, result.model or job.hop.model, result.usage, None)
        if cost.usd is None:
            UNPRICED.labels(name).inc()
        else:
            COST.labels(name).inc(cost.usd)
        return Finding(result, cost.usd, cost.version, call_ms, encoded)


def _encoded(result: CallResult) -> msgspec.Raw:
    """The answer as it travels. One that is too large for a reply is none: the call has failed then."""
    if not result.outcome.ok:
        return NO_RESULT
    body = _encoder.encode(result.body)
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
    )
