"""Repetitions of failed calls, within the fleet's retry budget."""

from optimizer_state.retries import Retries
from optimizer_workers.job import Job


class Repeats:
    """Counts this worker's calls for the fleet's retry budget, and says how long a repetition has to wait for it."""

    def __init__(self, retries: Retries, pauses_s: tuple[float, ...]) -> None:
        self.pauses_s = pauses_s
        self._retries = retries
        self._untold = 0

    def called(self) -> None:
        """A call begins."""
        self._untold += 1

    async def remind(self) -> None:
        """Tell the fleet how many calls began; to be called a few times a second."""
        told, self._untold = self._untold, 0
        if told:
            await self._retries.count_calls(told)

    async def wait_ms(self, job: Job) -> int:
        """0 if the job's next call may be made now, and is counted if it is a repetition; else when to ask again."""
        return await self._retries.ask(f"{job.owner}.{job.retries}") if job.retries else 0
