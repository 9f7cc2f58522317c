"""When one agent's calls fill a worker's window, so that those of others stand behind them in the broker's queue. Pure.

A worker orders only what it holds. If the window of a priority is nearly full and one agent has more than half of it,
the hindmost calls of that agent go back to the end of the queue: the window moves on over the backlog, and whoever is
in it is seen. What is sent back loses no place in its agent's own order but for equal deadlines.
"""

from collections import defaultdict
from collections.abc import Iterable

from optimizer_workers.job import Job

FULL = 0.8
LARGEST_SHARE = 0.5


def hindmost(jobs: Iterable[Job], window: int) -> list[Job]:
    """The calls to send back, for each priority; `window` is how many of one priority a worker can hold."""
    of_priorities: dict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        of_priorities[job.call.waiter.priority.rank].append(job)
    return [job for held in of_priorities.values() if len(held) >= FULL * window for job in _of_the_largest(held)]


def _of_the_largest(held: list[Job]) -> list[Job]:
    of_agents: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in held:
        if not job.look_first:
            of_agents[job.call.waiter.tenant, job.call.waiter.agent].append(job)
    largest = max(of_agents.values(), key=len, default=[])
    too_many = len(largest) - round(LARGEST_SHARE * len(held))
    return sorted(largest, key=lambda job: job.deadline_ms, reverse=True)[: max(0, too_many)]
