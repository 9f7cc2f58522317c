"""Which of the calls that a worker holds is next. Pure: the fleet's clock (milliseconds) is passed in.

The most urgent priority first, the earliest deadline within it. A call that met another owner rests until it is worth
looking again.
"""

from optimizer_workers.job import Job


class Scheduler:
    """The calls a worker holds and has not begun; some hundred at most, so that a scan is quick enough."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def push(self, job: Job) -> None:
        """Hold a call."""
        self._jobs.append(job)

    def next(self, now_ms: int) -> Job | None:
        """The call to begin now, still held; None if there is none or all rest."""
        ready = (job for job in self._jobs if job.not_before_ms <= now_ms)
        return min(ready, key=_order, default=None)

    def ready(self, now_ms: int) -> int:
        """How many calls could begin now."""
        return sum(1 for job in self._jobs if job.not_before_ms <= now_ms)

    def pop(self, now_ms: int) -> Job | None:
        """Take the call to begin now."""
        job = self.next(now_ms)
        if job is not None:
            self._jobs.remove(job)
        return job

    def remove(self, job: Job) -> None:
        """Take a call that is held."""
        self._jobs.remove(job)

    def wakes_in_ms(self, now_ms: int) -> int | None:
        """How long until a resting call is worth a look; None if there is no call at all."""
        if not self._jobs:
            return None
        return max(0, min(job.not_before_ms for job in self._jobs) - now_ms)

    def held_before(self, held_before_ms: int) -> list[Job]:
        """The calls held since before then, still held."""
        return [job for job in self._jobs if job.held_since_ms <= held_before_ms]

    def take_expired(self, now_ms: int) -> list[Job]:
        """Take the calls whose deadline has passed."""
        expired = [job for job in self._jobs if job.deadline_ms <= now_ms]
        if expired:
            self._jobs = [job for job in self._jobs if job.deadline_ms > now_ms]
        return expired

    def take_all(self) -> list[Job]:
        """Take everything, for a worker that stops or lost its connection."""
        taken, self._jobs = self._jobs, []
        return taken


def _order(job: Job) -> tuple[int, int]:
    return job.call.waiter.priority.rank, job.deadline_ms
