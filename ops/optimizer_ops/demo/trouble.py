"""Real trouble in the middle of the run: a backend answers 503 for a while, and a worker is killed.

├──────────────┬ outage ┬──────┬ kill -9 ──────────────────┤
0             30 %           45 %                       100 % of the run
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp

from optimizer_ops.demo.deployment import Deployment
from optimizer_ops.demo.score import Score
from optimizer_ops.processes import Process
from optimizer_state.flights import LEASE_MS
from optimizer_state.presence import ALIVE_MS

FAILING = "sim-cerebras"
KILLED = "sim-groq"
# A killed worker's calls are taken over when it has been silent for long enough, at the latest when its lease runs out;
# in a shorter run the end would only be waiting.
KILL_FROM_S = 20.0
_OUTAGE_AT, _OUTAGE_SHARE, _OUTAGE_MOST_S = 0.30, 0.14, 4.0
_KILL_AT = 0.45
_LOOK_S = 0.02

Say = Callable[[str], None]


class Trouble:
    """What goes wrong, and when. `told` is what was done, in words."""

    def __init__(self, deployment: Deployment, urls: dict[str, str], score: Score, seconds: float, say: Say) -> None:
        self._deployment = deployment
        self._score = score
        self._urls = urls
        self._seconds = seconds
        self._say = say
        self.told: list[str] = []

    def plans(self) -> list[Coroutine[Any, Any, None]]:
        """The troubles of this run, each to be run beside the load."""
        plans = [self._outage()]
        if self._seconds >= KILL_FROM_S:
            plans.append(self._kill())
        return plans

    async def _outage(self) -> None:
        lasts_s = min(_OUTAGE_MOST_S, _OUTAGE_SHARE * self._seconds)
        await asyncio.sleep(_OUTAGE_AT * self._seconds)
        try:
            await control(self._urls[FAILING], {"fail_rate": 1.0, "fail_with": [503]})
            self._tell(f"{FAILING} answers 503 for {lasts_s:.1f} s")
            await asyncio.sleep(lasts_s)
        finally:
            await control(self._urls[FAILING], {"fail_rate": 0.0})
        self._say(f"{FAILING} is well again")

    async def _kill(self) -> None:
        """Wait for a worker that is in the middle of a call, so that there is something to lose."""
        await asyncio.sleep(_KILL_AT * self._seconds)
        while (worker := self._busy_worker()) is None:  # noqa: ASYNC110 - other processes set no event here
            await asyncio.sleep(_LOOK_S)
        if worker.running is None:
            return
        worker.running.kill()
        sooner_s, later_s = ALIVE_MS / 1000, LEASE_MS / 1000
        self._tell(f"kill -9 {worker.name} in mid-call; it is taken over after {sooner_s:.0f} to {later_s:.0f} s")

    def _busy_worker(self) -> Process | None:
        for worker in self._deployment.workers_of(KILLED):
            instance = self._deployment.instance_of(worker)
            if instance and self._score.calls_of(f"worker/{KILLED}/{instance}") > 0:
                return worker
        return None

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._say(what)


async def control(url: str, patch: dict[str, Any]) -> None:
    """Change the script of a simulator: a merge patch of its spec."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
        session.post(f"{url}/_control", json=patch) as response,
    ):
        response.raise_for_status()
