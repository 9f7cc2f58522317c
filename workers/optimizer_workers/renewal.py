"""Keeps the lease of a call while it runs, and gives the call up when nobody waits for it any more."""

import asyncio
from contextlib import suppress

from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_workers.job import Job


class Renewal:
    """Renews a lease every `every_s`, until `end`, for a call that runs in the task which makes this."""

    def __init__(self, flights: Flights, job: Job, every_s: float) -> None:
        self._flights = flights
        self._job = job
        self._every_s = every_s
        self._nobody = False
        self._calling = asyncio.current_task()
        self._renewing: asyncio.Task[None] | None = None
        # Most calls end before: a timer costs less than a task.
        self._timer = asyncio.get_running_loop().call_later(every_s, self._begin)

    def end(self) -> None:
        """The call has ended."""
        self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()

    def gave_up(self) -> bool:
        """Whether the call was cancelled because nobody waits; the task goes on then. Else somebody ended the task."""
        return self._nobody and self._calling is not None and self._calling.uncancel() == 0

    def _begin(self) -> None:
        self._renewing = asyncio.ensure_future(self._renew())

    async def _renew(self) -> None:
        while True:
            with suppress(RedisAway):
                if await self._flights.renew(self._job.call, self._job.owner) == "nobody":
                    break
            await asyncio.sleep(self._every_s)
        self._nobody = True
        if self._calling is not None:
            self._calling.cancel()
