"""A worker lets go of what it holds of a tenant that was forgotten."""

import asyncio

from optimizer_state.store import RedisAway
from optimizer_wire.messages import Call, Hop, Waiter
from optimizer_workers.forgetting import Forgetting
from optimizer_workers.job import Job
from optimizer_workers.scheduler import Scheduler


class Forgotten:
    """Who was forgotten, as Redis would tell; None: it is away."""

    def __init__(self):
        self.until_ms = {}

    async def all(self):
        """The moments by tenant."""
        if self.until_ms is None:
            raise RedisAway("away")
        return self.until_ms


class Execution:
    """Notes what is looked at and what is told; what is `shared` gets in line again."""

    def __init__(self, scheduler):
        self._scheduler = scheduler
        self.looked, self.told, self.shared = [], [], set()

    async def look(self, job):
        """See what has become of a job."""
        self.looked.append(job.call.waiter.id)
        if job.call.waiter.id in self.shared:
            self._scheduler.push(job)

    async def tell_early(self, job, error):
        """End a job with an error."""
        self.told.append((job.call.waiter.id, error.code))


class Tasks:
    """Runs work at once."""

    def __init__(self):
        self.running = []

    def spawn(self, _job, work):
        """Begin work."""
        self.running.append(asyncio.ensure_future(work))


def job(name, tenant, since_ms, flight=1):
    """A held call."""
    waiter = Waiter(name, f"replies.{name}", 10**9, "agent", tenant, since_ms=since_ms)
    return Job(Call(1, name, flight, 1, waiter, {}, (Hop("b", "m"),)), 1, redelivered=False, stage=1, deadline_ms=10**9)


async def test_what_is_held_is_let_go():
    """Each held call of the tenant from before the moment is looked at once; one without a flight is told at once."""
    scheduler, forgotten, tasks = Scheduler(), Forgotten(), Tasks()
    execution = Execution(scheduler)
    forgetting = Forgetting(forgotten, scheduler, execution, tasks)
    held = [job("mine", "acme", 5), job("shared", "acme", 5), job("alone", "acme", 5, flight=0)]
    held += [job("later", "acme", 11), job("yours", "other", 5)]
    for each in held:
        scheduler.push(each)
    execution.shared = {"shared"}

    await forgetting.look()
    assert not tasks.running

    forgotten.until_ms = {"acme": 10}
    for _ in range(3):
        await forgetting.look()
        await asyncio.gather(*tasks.running)

    assert sorted(execution.looked) == ["mine", "shared"]
    assert execution.told == [("alone", "cancelled")]
    assert {each.call.waiter.id for each in scheduler.held()} == {"shared", "later", "yours"}

    forgotten.until_ms = None
    await forgetting.look()
    assert len(tasks.running) == 3
