"""Whether a call may be what kills its workers, when Redis cannot tell. Pure.

With Redis every start is known, see `begin.lua`. Without it there is only the broker's count of deliveries in vain, and
that counts for every call that a dying worker held, whether it had begun it or not. So a call that was delivered again
often enough runs with nothing running or held beside it: whatever else was held has gone back to the queue as a new
copy, whose count begins anew. What is then delivered in vain once more was alone in its worker when that died.
"""

from typing import Literal

from optimizer_state.starts import MOST_STARTS
from optimizer_workers.job import Job


def by_deliveries(job: Job) -> Literal["run", "suspect", "poison"]:
    """What to do with a call of which only the deliveries are known."""
    if job.deliveries >= MOST_STARTS:
        return "poison"
    if not job.suspect and under_suspicion(job):
        return "suspect"
    return "run"


def under_suspicion(job: Job) -> bool:
    """Whether a call was delivered in vain so often, in all its copies, that it may only run alone."""
    return job.deliveries + job.call.deliveries >= MOST_STARTS - 1
