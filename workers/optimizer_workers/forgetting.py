"""A worker's part in forgetting a tenant: the calls that it holds, and that nobody waits for any more, are let go."""

from contextlib import suppress

from optimizer_state.forgotten import Forgotten
from optimizer_state.store import RedisAway
from optimizer_wire.errors import Cancelled
from optimizer_workers.execution import Execution
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.tasks import Tasks

LOOK_S = 0.5


class Forgetting:
    """Looks now and then who was forgotten, and then once at each held call of them."""

    def __init__(self, forgotten: Forgotten, scheduler: Scheduler, execution: Execution, tasks: Tasks) -> None:
        self._forgotten = forgotten
        self._scheduler = scheduler
        self._execution = execution
        self._tasks = tasks
        self._looked_at: set[str] = set()

    async def look(self) -> None:
        """Let go of what is held of those who were forgotten. Never raises."""
        with suppress(RedisAway):
            self._drop(await self._forgotten.all())

    def _drop(self, until_ms: dict[str, int]) -> None:
        held = self._scheduler.held()
        self._looked_at &= {job.owner for job in held}
        for job in held:
            waiter = job.call.waiter
            if job.owner in self._looked_at or waiter.since_ms > until_ms.get(waiter.tenant, -1):
                continue
            self._looked_at.add(job.owner)
            self._scheduler.remove(job)
            if job.call.flight:
                # If somebody else waits for it, it gets in line again.
                self._tasks.spawn(job, self._execution.look(job))
            else:
                error = Cancelled("The tenant of this request was forgotten by an operator.")
                self._tasks.spawn(job, self._execution.tell_early(job, error))
