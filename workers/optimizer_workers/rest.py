"""A worker whose backend takes no calls for long lets go of what it holds, and takes nothing for a while.

Held deliveries are unacked: nobody else can see them, and the broker allows that only for so long. What is served
sooner elsewhere has moved by then, and who would miss the deadline has been told; the rest goes back to the end of its
queue. The worker looks again when another backend can take calls, which may be of their routes, and from time to time.
One that alone is without Redis does the same, until Redis answers it: its mates serve meanwhile.
"""

import asyncio

from optimizer_service.logs import Logger
from optimizer_state.clock import FleetClock
from optimizer_workers.consumption import Consumption
from optimizer_workers.fleet import Fleet
from optimizer_workers.job import Job
from optimizer_workers.mates import Mates
from optimizer_workers.planner import Planner
from optimizer_workers.waiting import Waiting

LOOK_S = 1.0
# Longer than any wait for a window of a minute.
LET_GO_MS = 90_000
LOOK_AGAIN_MS = 15_000
BACK_MS = 2_000


class Rest:
    """Stops and starts the consumption of one session."""

    def __init__(
        self,
        consumption: Consumption,
        planner: Planner,
        waiting: Waiting,
        fleet: Fleet,
        mates: Mates,
        clock: FleetClock,
        log: Logger,
    ) -> None:
        self._consumption = consumption
        self._fleet = fleet
        self._mates = mates
        self._planner = planner
        self._waiting = waiting
        self._clock = clock
        self._log = log
        self._cleared = False

    async def clear(self, job: Job) -> None:
        """Take nothing until `resume`, and let go of what is held but for this one: a death would count against it."""
        self._cleared = True
        await self._consumption.stop()
        await asyncio.gather(*self._waiting.let_go(but=job))

    async def resume(self) -> None:
        """Take calls again after `clear`."""
        if self._cleared:
            self._cleared = False
            await self._consumption.start()

    async def watch(self) -> None:
        """Rest and come back, until cancelled."""
        since_ms = 0
        ready: frozenset[str] = frozenset()
        while True:
            await asyncio.sleep(LOOK_S)
            if self._cleared:
                continue
            before, ready = ready, self._fleet.ready()
            now_ms = self._clock.now_ms()
            dry_ms = self._planner.dry_ms(now_ms)
            if self._consumption.blocked:
                # A broker with an alarm does not hear of it.
                continue
            if self._consumption.active and (dry_ms > LET_GO_MS or self._mates.serve_alone):
                await self._consumption.stop()
                let_go = len(self._waiting.let_go())
                since_ms = now_ms
                self._log.info("resting", calls_let_go=let_go, for_s=round(dry_ms / 1000))
            elif (
                not self._consumption.active
                and not self._mates.serve_alone
                and (dry_ms < BACK_MS or ready - before or now_ms - since_ms > LOOK_AGAIN_MS)
            ):
                await self._consumption.start()
