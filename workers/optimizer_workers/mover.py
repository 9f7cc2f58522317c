"""Moves calls that would have to wait here to where they are served sooner; see `moving.py` for when."""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from optimizer_service.logs import Logger
from optimizer_state.clock import FleetClock
from optimizer_wire.session import BrokerUnavailable
from optimizer_workers.fleet import Fleet
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.moving import CLEARLY_MS, better_station
from optimizer_workers.reporter import Reporter
from optimizer_workers.scheduler import Scheduler

# Calls that are held behind others for longer than this may as well look elsewhere, budget or not.
HELD_TOO_LONG_MS = 2_000


class Mover:
    """Moves held calls. `spawn` runs something beside the pump."""

    def __init__(
        self,
        scheduler: Scheduler,
        link: Link,
        fleet: Fleet,
        reporter: Reporter,
        clock: FleetClock,
        log: Logger,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._scheduler = scheduler
        self._link = link
        self._fleet = fleet
        self._reporter = reporter
        self._clock = clock
        self._log = log
        self._spawn = spawn

    def dry(self, for_ms: int) -> None:
        """This backend takes no more calls for so long: tell the others, and move what is held."""
        if for_ms >= CLEARLY_MS:
            self._fleet.own_dry_until_ms = self._clock.now_ms() + for_ms
            self._move(self._scheduler.held_before(self._clock.now_ms()), self._fleet.own_dry_until_ms)

    def arrived(self, job: Job) -> None:
        """A call was taken; while this backend is dry it need not wait for the next look."""
        self._move([job], self._fleet.own_dry_until_ms)

    def look(self) -> None:
        """Move what has been held for too long."""
        now_ms = self._clock.now_ms()
        stuck = self._scheduler.held_before(now_ms - HELD_TOO_LONG_MS)
        if stuck:
            self._fleet.own_dry_until_ms = max(self._fleet.own_dry_until_ms, now_ms + HELD_TOO_LONG_MS)
            self._move(stuck, self._fleet.own_dry_until_ms)

    def _move(self, jobs: Iterable[Job], here_until_ms: int) -> None:
        for job in jobs:
            station = better_station(
                job.call,
                here_until_ms=here_until_ms,
                dry_until_ms=self._fleet.dry_until_ms,
                alive=self._fleet.alive,
                now_ms=self._clock.now_ms(),
            )
            if station is not None and not job.look_first:
                self._scheduler.remove(job)
                self._spawn(self._send(job, station))

    async def _send(self, job: Job, station: int) -> None:
        """Send a call there, or hold it after all.

        Its dispatch has not begun, so that it keeps its number: of two copies the first to begin wins.
        """
        try:
            if not await self._link.send_to(job, job.call.number, station):
                self._scheduler.push(job)
                return
            await self._reporter.moved(self._link.outbox, job, job.call.route[station].backend)
            await self._link.ack(job)
        except BrokerUnavailable:
            self._log.info("not moved on: no connection", work=job.call.work_id)
