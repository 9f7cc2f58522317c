"""What a call must have before it may start: a part of its backend's budget, and room in the fleet's quotas."""

import asyncio
from collections.abc import Sequence

from optimizer_config.model import Dimension
from optimizer_state.budget import Ask, BreakerChange, Budget, Grant, Settled, Wait
from optimizer_state.share import Share
from optimizer_workers.estimate import Estimator
from optimizer_workers.job import Job
from optimizer_workers.repeats import Repeats
from optimizer_workers.throttle import Block


class Allowance:
    """Grants calls of one backend their start. `share` is None if no backend of the fleet has a share quota."""

    def __init__(self, budget: Budget, estimator: Estimator, share: Share | None, repeats: Repeats) -> None:
        self.budget = budget
        self._estimator = estimator
        self._share = share
        self._repeats = repeats

    def estimate(self, job: Job) -> None:
        """Estimate anew what the call will use: more may have been learned since it came."""
        call = job.call
        job.amounts = self._estimator.amounts(call.params, call.op, job.hop.model, chars=job.chars)
        job.cost = self._estimator.usual_tokens(job.amounts, job.hop.model)

    def least(self, job: Job, dimension: Dimension) -> int:
        """What the call surely uses of a limit: what nine calls of ten do not exceed is about twice as much."""
        if dimension == "requests":
            return 1
        return max(1, job.amounts.of(dimension) // 2) if self._estimator.knows(job.hop.model) else 1

    async def reserve(self, jobs: Sequence[Job]) -> list[Grant | Wait]:
        """For each call all that it needs as last estimated, or nothing and how long to wait. Never raises."""
        waits = await self._waits_to_repeat(jobs)
        asked = [job for job, wait_ms in zip(jobs, waits, strict=True) if not wait_ms]
        verdicts: Sequence[Grant | Wait] = await self.budget.reserve_all(
            [Ask(self.budget.new_reservation(), job.hop.model, job.amounts) for job in asked]
        )
        if self._share is not None:
            verdicts = await self._all_shared(self._share, verdicts)
        answers = iter(verdicts)
        return [Wait(wait_ms, "retries") if wait_ms else next(answers) for wait_ms in waits]

    async def _waits_to_repeat(self, jobs: Sequence[Job]) -> Sequence[int]:
        """In one round trip for all, and none for those that are no repetitions."""
        if not any(job.retries for job in jobs):
            return [0] * len(jobs)
        return await asyncio.gather(*(self._repeats.wait_ms(job) for job in jobs))

    async def _all_shared(self, share: Share, verdicts: Sequence[Grant | Wait]) -> Sequence[Grant | Wait]:
        sharing = asyncio.gather(*(self._shared(share, verdict) for verdict in verdicts))
        try:
            return await asyncio.shield(sharing)
        except asyncio.CancelledError:
            # Whoever asked is gone with the connection; this worker stays, and would hold them for ever.
            for verdict in await sharing:
                if isinstance(verdict, Grant):
                    await self.give_back(verdict)
            raise

    async def _shared(self, share: Share, verdict: Grant | Wait) -> Grant | Wait:
        """A call that was granted, if the backend's share of the fleet's calls has a place for it."""
        if isinstance(verdict, Wait):
            return verdict
        wait_ms = await share.take(verdict.reservation)
        if not wait_ms:
            return verdict
        await self.budget.settle(verdict, _UNSENT)
        return Wait(wait_ms, "share")

    def written(self, grant: Grant) -> None:
        """The call's request was written to the socket, now."""
        self.budget.written(grant)

    async def settle(self, grant: Grant, settled: Settled) -> BreakerChange | None:
        """The call has ended."""
        if settled.written_ago_ms is None and self._share is not None:
            await self._share.give_back(grant.reservation)
        return await self.budget.settle(grant, settled)

    async def give_back(self, grant: Grant) -> None:
        """The call is not made after all."""
        await self.settle(grant, _UNSENT)

    def reset_s(self) -> float | None:
        """In how many seconds a quota of the backend begins anew by the clock, the first of them; None if none does."""
        return self.budget.reset_s

    async def block(self, grant: Grant, block: Block) -> float:
        """Leave the backend alone for a while, all workers; returns for how many seconds."""
        return await self.budget.block(block.for_s, block.reason, grant.reservation)


_UNSENT = Settled(written_ago_ms=None, used=None, health="unknown")
