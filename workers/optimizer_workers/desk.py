"""What a running job may ask of its worker: to speak, to wait, to be put aside."""

from collections.abc import Sequence

from optimizer_service.outbox import Outbox
from optimizer_state.answer import Answer
from optimizer_state.clock import FleetClock
from optimizer_state.owners import owner_of
from optimizer_state.quotas import Quotas
from optimizer_state.store import RedisAway
from optimizer_state.turns import Turns
from optimizer_wire.messages import Source, Waiter
from optimizer_workers.fleet import Fleet
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.stations import ready_stations, stations
from optimizer_workers.undelivered import Undelivered

LONGEST_REST_MS = 1_000
SHORTEST_REST_MS = 50


class Desk:
    """Serves the jobs of one worker."""

    def __init__(
        self,
        link: Link,
        scheduler: Scheduler,
        fleet: Fleet,
        turns: Turns,
        quotas: Quotas,
        undelivered: Undelivered,
        clock: FleetClock,
    ) -> None:
        self._link = link
        self._fleet = fleet
        self._scheduler = scheduler
        self._turns = turns
        self._quotas = quotas
        self._undelivered = undelivered
        self._clock = clock

    @property
    def outbox(self) -> Outbox:
        """Where to speak now; raises `BrokerUnavailable` if there is no connection."""
        return self._link.outbox

    def begin_turn(self, job: Job) -> None:
        """The job's call begins: it uses the turn of its ordering key."""
        self._turns.begin(job.call)

    async def end_turn(self, job: Job) -> None:
        """The job has ended for good: the next request of its ordering key may run."""
        await self._turns.end(job.call)

    async def settle_quota(self, job: Job, answer: Answer) -> None:
        """The job has ended like this: what its agent is charged for it is known."""
        await self._quotas.ended(job.call.waiter, answer)

    async def give_quota_back(self, job: Job) -> None:
        """The job was never called."""
        await self._quotas.give_back(job.call.waiter)

    async def tell(
        self, job: Job, answer: Answer, waiters: Sequence[Waiter], source: Source | None = None, *, dead: bool = False
    ) -> bool:
        """Tell the waiters of a job how it ended; False if the job is not to be ended yet.

        Redis is away then, where those wait who submitted their requests: when it is back they are told, and the job is
        acked, or with `dead` rejected.
        """
        try:
            await self.outbox.answer(answer, waiters, source)
        except RedisAway:
            self._undelivered.keep(job, answer, waiters, source, dead=dead)
            return False
        return True

    async def ack(self, job: Job) -> None:
        """The job is done."""
        await self._link.ack(job)

    async def reject(self, job: Job) -> None:
        """The job cannot be done: keep its message among the dead letters."""
        await self._link.reject(job)

    async def elsewhere(self, job: Job, *, only_ready: bool) -> list[int]:
        """The other stations of the route that may take the job, the best first; `only_ready`: those that can now."""
        alive = await self._fleet.alive_now()
        choose = ready_stations if only_ready else stations
        return choose(job.call, ready_ms=self._fleet.ready_ms, alive=alive, now_ms=self._clock.now_ms())

    async def send(self, job: Job, number: int, station: int) -> bool:
        """Send the job's call to a station of its route; False if that does not take it."""
        sent = await self._link.send_to(job, number, station)
        if sent:
            self._fleet.sent_to(job.call.route[station].backend)
        return sent

    async def died(self, owner: str) -> bool:
        """Whether the worker that holds a dispatch has died, as far as others can tell."""
        return await self._fleet.bury(owner_of(owner))

    def hold(self, job: Job, rest_ms: int) -> None:
        """Look at the job again after a rest, unless it will be delivered anew anyway."""
        if self._link.has(job):
            job.look_first = True
            job.not_before_ms = self._clock.now_ms() + max(SHORTEST_REST_MS, min(rest_ms, LONGEST_REST_MS))
            self._scheduler.push(job)

    def put_back(self, job: Job, after_s: float = 0.0) -> None:
        """Let the job wait for budget as if it had just come, unless it will be delivered anew anyway."""
        if self._link.has(job):
            job.look_first = False
            job.not_before_ms = self._clock.now_ms() + round(after_s * 1000) if after_s else 0
            self._scheduler.push(job)
