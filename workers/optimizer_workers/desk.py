"""What a running job may ask of its worker: to speak, to wait, to be put aside."""

import asyncio
from contextlib import suppress

from optimizer_service.outbox import Outbox
from optimizer_state.budget import Grant, Wait
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Answer, Flights
from optimizer_state.quotas import Quotas
from optimizer_state.store import RedisAway
from optimizer_state.turns import Turns
from optimizer_workers.allowance import Allowance
from optimizer_workers.fleet import Fleet
from optimizer_workers.job import Job
from optimizer_workers.link import Link
from optimizer_workers.scheduler import Scheduler
from optimizer_workers.stations import ready_stations, stations

LONGEST_REST_MS = 1_000
SHORTEST_REST_MS = 50
# Waits whose end is known; a limit's may come sooner, when calls in flight used less than was reserved for them.
SURE = frozenset({"blocked", "breaker"})


class Desk:
    """Serves the jobs of one worker."""

    def __init__(
        self,
        link: Link,
        scheduler: Scheduler,
        fleet: Fleet,
        allowance: Allowance,
        flights: Flights,
        turns: Turns,
        quotas: Quotas,
        clock: FleetClock,
    ) -> None:
        self._link = link
        self._fleet = fleet
        self._scheduler = scheduler
        self._allowance = allowance
        self._stopping = False
        self._flights = flights
        self._turns = turns
        self._quotas = quotas
        self._clock = clock

    def stop(self) -> None:
        """This worker ends: what only waits is to be left to others."""
        self._stopping = True

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

    async def ack(self, job: Job) -> None:
        """The job is done."""
        await self._link.ack(job)

    async def reject(self, job: Job) -> None:
        """The job cannot be done: keep its message among the dead letters."""
        await self._link.reject(job)

    async def forward(self, job: Job, number: int, *, only_ready: bool = False) -> str | None:
        """Send the job's call to another backend of its route; returns the one that took it, or None.

        With `only_ready` only to one that can take it now.
        """
        alive = await self._fleet.alive_now()
        choose = ready_stations if only_ready else stations
        for hop in choose(job.call, ready_ms=self._fleet.ready_ms, alive=alive, now_ms=self._clock.now_ms()):
            if await self._link.send_to(job, number, hop):
                backend = job.call.route[hop].backend
                self._fleet.sent_to(backend)
                return backend
        return None

    def hold(self, job: Job, rest_ms: int) -> None:
        """Look at the job again after a rest, unless it will be delivered anew anyway."""
        if job.stage == self._link.stage and self._link.up:
            job.look_first = True
            job.not_before_ms = self._clock.now_ms() + max(SHORTEST_REST_MS, min(rest_ms, LONGEST_REST_MS))
            self._scheduler.push(job)

    def put_back(self, job: Job) -> None:
        """Let the job wait for budget again, as if it had just come, unless it will be delivered anew anyway."""
        if job.stage == self._link.stage and self._link.up:
            job.look_first = False
            self._scheduler.push(job)

    async def pause(self, job: Job, for_s: float) -> bool:
        """Rest before a repetition, keeping the flight; False if nobody waits any more."""
        left_s = for_s
        while left_s > 0:
            await asyncio.sleep(min(left_s, LONGEST_REST_MS / 1000))
            left_s -= LONGEST_REST_MS / 1000
            if not await self._wanted(job):
                return False
        return True

    async def reserve(self, job: Job) -> Grant | Wait | None:
        """Wait for budget, keeping the flight.

        None if nobody waits for the job any more; the `Wait` if the budget comes back only after its deadline.
        """
        while True:
            verdict = await self._allowance.reserve(job)
            if isinstance(verdict, Grant):
                return verdict
            if not await self._wanted(job):
                return None
            if verdict.limit in SURE and self._clock.now_ms() + verdict.ms > job.deadline_ms:
                return verdict
            await asyncio.sleep(max(SHORTEST_REST_MS / 1000, min(verdict.ms / 1000, LONGEST_REST_MS / 1000)))

    def shut_until_ms(self) -> int:
        """Until when the backend takes no call at all, as last seen; past means that it does."""
        return self._allowance.budget.fleet_view.shut_until_ms

    async def _wanted(self, job: Job) -> bool:
        if self._stopping:
            return False
        if job.call.flight:
            with suppress(RedisAway):
                return await self._flights.renew(job.call, job.owner) == "ok"
        return self._clock.now_ms() < job.deadline_ms
