"""Moves calls that would have to wait here to where they are served sooner; see `moving.py` for when."""

from optimizer_state.clock import FleetClock
from optimizer_state.outlook import CLEARLY_MS, RESTART_MS
from optimizer_wire.messages import MovedFrom
from optimizer_workers.fleet import Fleet
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.metrics import MOVED
from optimizer_workers.moving import better_station
from optimizer_workers.reporter import Reporter
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.stations import stations
from optimizer_workers.tasks import Tasks

# A move must gain so much of the wait.
WORTH_A_MOVE = 0.1
# A call that has moved stays for this part of its time, at most so long.
STAY = 0.1
LONGEST_STAY_MS = 10_000


class Mover:
    """Moves held calls."""

    def __init__(
        self, scheduler: Scheduler, link: Link, fleet: Fleet, reporter: Reporter, tasks: Tasks, clock: FleetClock
    ) -> None:
        self._scheduler = scheduler
        self._link = link
        self._fleet = fleet
        self._reporter = reporter
        self._clock = clock
        self._tasks = tasks

    def hear(self, job: Job) -> None:
        """A call that moved here tells how soon its former backend could have taken it."""
        if told := job.call.moved_from:
            self._fleet.hear(told.backend, told.ready_ms)

    def moves(self, job: Job, here_ms: int) -> bool:
        """Move a held call if another backend of its route takes it clearly sooner than here; whether it does."""
        now_ms = self._clock.now_ms()
        if job.look_first or len(job.call.route) == 1 or self._just_moved(job, now_ms):
            return False
        # The longer the wait the less a small gain is worth a move, since all of this is guessed.
        margin_ms = max(0, round(WORTH_A_MOVE * (here_ms - now_ms)) - CLEARLY_MS)
        station = better_station(
            job.call,
            here_start_ms=here_ms - margin_ms,
            ready_ms=lambda backend: self._fleet.in_line_ms(backend, job.deadline_ms),
            alive=self._fleet.alive,
            now_ms=now_ms,
        )
        if station is None:
            return False
        self._move(job, station, here_ms)
        return True

    def rescues(self, job: Job, least_ms: int) -> bool:
        """Move a held call that misses its deadline here to where it may still be served in time; whether it does."""
        now_ms = self._clock.now_ms()
        if self._just_moved(job, now_ms):
            return True
        able = stations(job.call, ready_ms=self._fleet.ready_ms, alive=self._fleet.alive, now_ms=now_ms)
        # Better a backend that failed it once than a deadline that is missed for sure.
        failed = [index for index, hop in enumerate(job.call.route) if hop.backend in job.call.failed]
        here = job.hop.backend
        for station in (*able, *failed):
            backend = job.call.route[station].backend
            if backend == here or backend not in (self._fleet.alive or ()):
                continue
            if self._fleet.in_line_ms(backend, job.deadline_ms) + least_ms <= job.deadline_ms:
                self._move(job, station, job.deadline_ms)
                return True
        return False

    @staticmethod
    def _just_moved(job: Job, now_ms: int) -> bool:
        """Whether a call came here by a move and has not been here for a while: what is known has to settle first."""
        rest_ms = min(LONGEST_STAY_MS, STAY * (job.deadline_ms - now_ms))
        return job.call.moved_from is not None and now_ms - job.held_since_ms < rest_ms

    def may_come(self, job: Job, least_ms: int) -> bool:
        """Whether a backend of the call's route has no worker now, and time to get one before its deadline."""
        alive = self._fleet.alive
        if alive is None or self._clock.now_ms() + RESTART_MS + least_ms > job.deadline_ms:
            return alive is None
        return any(hop.backend not in alive and hop.backend not in job.call.failed for hop in job.call.route)

    async def send_back(self, job: Job) -> None:
        """Send a call back to the end of the queue it came from, or hold it after all."""
        if await self._link.send_to(job, job.call.number, job.call.hop):
            await self._link.ack(job)
        else:
            self._scheduler.push(job)

    def _move(self, job: Job, station: int, here_ms: int) -> None:
        self._scheduler.remove(job)
        self._fleet.sent_to(job.call.route[station].backend)
        self._tasks.spawn(job, self._send(job, station, here_ms))

    async def _send(self, job: Job, station: int, here_ms: int) -> None:
        """Send a call there, or hold it after all.

        Its dispatch has not begun, so that it keeps its number: of two copies the first to begin wins.
        """
        if not await self._link.send_to(job, job.call.number, station, MovedFrom(job.hop.backend, here_ms)):
            self._scheduler.push(job)
            return
        MOVED.labels(job.hop.backend).inc()
        await self._reporter.moved(self._link.outbox, job, job.call.route[station].backend)
        await self._link.ack(job)
