"""Tells Redis what one worker used and it does not know: at the start, after an outage, after a loss of its memory."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from optimizer_config.model import BreakerSettings
from optimizer_state.alone import Alone
from optimizer_state.budget_steps import Stops, settle_step
from optimizer_state.scripts import Step
from optimizer_state.store import NotSent
from optimizer_state.untold import Untold

LEASE_MS = 30_000
# The first to speak after Redis lost its memory waits a little longer for the others than they take to notice it.
RESTORE_GRACE_MS = 600
ROUNDS = 3


class Teller:
    """One teller at a time. Every method raises `RedisAway`."""

    def __init__(
        self,
        run: Callable[[Sequence[Step]], Awaitable[list[list[Any]]]],
        now_ms: Callable[[], int],
        key: str,
        worker: str,
        breaker: BreakerSettings,
        alone: Alone,
        untold: Untold,
    ) -> None:
        self._run = run
        self._now_ms = now_ms
        self._key = key
        self._worker = worker
        self._breaker = breaker
        self._alone = alone
        self._untold = untold
        self._telling = asyncio.Lock()

    async def tell(self, settings: Mapping[str, str], *, only_if_needed: bool = False) -> None:
        """Tell all; `settings` are those of operators, as the worker last saw them."""
        async with self._telling:
            # What may have been lost is repeated as it was; what came up since is told after it.
            for _ in range(ROUNDS):
                if self._untold.must_tell or not only_if_needed:
                    only_if_needed = await self._tell(settings)

    async def _tell(self, settings: Mapping[str, str]) -> bool:
        """Whether it was taken down; else Redis lost its memory since it was first told that."""
        now_ms, alone, block = self._now_ms(), self._alone, self._untold.block
        stops = Stops(alone.blocked_until_ms, alone.blocked_reason, alone.breaker.open_until_ms or 0, settings)
        telling, repeated = self._untold.telling(stops, now_ms)
        endings = self._untold.endings(telling, now_ms)
        steps = [telling.step(self._key, self._worker, lease_ms=LEASE_MS, grace_ms=RESTORE_GRACE_MS, repeated=repeated)]
        steps += [settle_step(self._key, name, ending, self._breaker) for name, ending in endings.items()]
        if block and block[0] > now_ms:
            steps.append(Step("block", self._key, (block[0] - now_ms, block[1], "", 0, 0)))
        try:
            reply = await self._run(steps)
        except NotSent:
            if not repeated:
                self._untold.withdraw()
            raise
        if reply[0][0] == b"forgotten":
            self._untold.withdraw()
            return False
        if self._untold.block is block:
            self._untold.block = None
        self._untold.confirmed(telling, endings, self._now_ms())
        return True
