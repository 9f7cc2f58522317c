"""A backend's budget, shared by all its workers through Redis; while Redis is away, this worker's share of it.

Reserve before a call, say when its request is written, settle after it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from optimizer_config.model import Backend
from optimizer_state.alone import Alone
from optimizer_state.arrivals import Arrivals
from optimizer_state.budget_steps import Ending, matching, reserve_step, settle_step
from optimizer_state.fleet_view import FleetView, Level, look_of
from optimizer_state.grants import Ask, BreakerChange, Grant, Settled, Wait
from optimizer_state.owners import owned_by, prefix_of
from optimizer_state.periods import period
from optimizer_state.scripts import Step, backend_key
from optimizer_state.store import NOTICE_S, RedisAway, Store
from optimizer_state.teller import LEASE_MS, Teller
from optimizer_state.untold import Untold
from optimizer_state.windows import amounts_by_window, shortest_ms, windows_of

__all__ = ["Ask", "BreakerChange", "Budget", "FleetView", "Grant", "Level", "Settled", "Wait"]

# Every worker looks so often whether Redis still knows what it used, and more often where windows are short.
REMIND_S = 0.25
LEAST_REMIND_S = 0.05
REMINDS_PER_WINDOW = 10
# So long after an outage of Redis every worker has noticed its end and told what it used.
REJOIN_S = NOTICE_S + 2 * REMIND_S
# After a refusal that does not say how long, and at most.
FIRST_BLOCK_MS = 1_000
LONGEST_BLOCK_MS = 60_000
# What the others say of Redis is known soon.
ASK_MATES_MS = 50


class Budget:
    """One worker's view of its backend's budget."""

    def __init__(self, store: Store, backend: Backend, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._backend = backend
        self._windows = windows_of(backend.limits)
        self._shortest_ms = shortest_ms(backend)
        self._alone = Alone(backend)
        self._untold = Untold(self._windows)
        self._flying = Arrivals(self._shortest_ms)
        self._key = backend_key(store.prefix, backend.name)
        self._teller = Teller(self._run, self._now_ms, self._key, worker, backend.breaker, self._alone, self._untold)
        self._workers_seen = 1
        # Whether this worker may live on its share: nobody else of its backend has Redis.
        self.may_go_alone: Callable[[], bool] = lambda: True

    @property
    def workers_seen(self) -> int:
        """How many workers serve the backend."""
        return self._workers_seen

    @workers_seen.setter
    def workers_seen(self, number: int) -> None:
        # A Redis that has just come back may not have heard of everybody yet.
        self._workers_seen = max(number, self._workers_seen) if self._rejoin_ms else number

    @property
    def _rejoin_ms(self) -> int:
        """For how long still others may live by their shares, not knowing that Redis is back."""
        return self._store.rejoin_ms(within_s=REJOIN_S) if self._backend.max_workers > 1 else 0

    @property
    def remind_s(self) -> float:
        """How often `remind` is to be called, in seconds."""
        if self._shortest_ms is None:
            return REMIND_S
        return min(REMIND_S, max(LEAST_REMIND_S, self._shortest_ms / 1000 / REMINDS_PER_WINDOW))

    @property
    def reset_s(self) -> float | None:
        """In how many seconds the first of the backend's own fixed windows begins anew; None if there is none."""
        now_ms = self._now_ms()
        resets = [limit.reset for limit in self._backend.limits if limit.reset and limit.dimension != "usd"]
        return min((period(reset, now_ms)[1] - now_ms for reset in resets), default=0) / 1000 if resets else None

    @property
    def fleet_view(self) -> FleetView:
        """What this worker saw when it last looked at the budget, and what it learned itself since."""
        look = self._alone.look
        view = look.view if look else FleetView(concurrency=self._backend.concurrency)
        now_ms, alone = self._now_ms(), self._alone
        return replace(
            view,
            blocked_until_ms=alone.blocked_until_ms,
            blocked_reason=alone.blocked_reason,
            breaker=alone.breaker.state(now_ms),
            breaker_until_ms=alone.breaker.open_until_ms or 0,
        )

    def _now_ms(self) -> int:
        return self._store.clock.now_ms()

    async def _run(self, steps: Sequence[Step]) -> list[list[Any]]:
        return await self._store.run(steps)

    async def _tell(self, *, only_if_needed: bool = False) -> None:
        look = self._alone.look
        await self._teller.tell(look.settings if look else {}, only_if_needed=only_if_needed)

    # ── one call ─────────────────────────────────────────────────────────────────────────────────────────────────

    def new_reservation(self) -> str:
        """A name for the reservation of one call."""
        return owned_by(self._worker)

    async def reserve(self, ask: Ask) -> Grant | Wait:
        """Reserve one call, in all limits or none. Never raises: without Redis it is this worker's share."""
        return (await self.reserve_all([ask]))[0]

    async def reserve_all(self, asks: Sequence[Ask]) -> list[Grant | Wait]:
        """Reserve some calls in one round trip, each in all limits or none. Never raises."""
        waits = [self._wait_to_rejoin(ask) for ask in asks]
        verdicts = iter(await self._reserve_now([ask for ask, wait in zip(asks, waits, strict=True) if wait is None]))
        return [next(verdicts) if wait is None else wait for wait in waits]

    def _wait_to_rejoin(self, ask: Ask) -> Wait | None:
        """Those who have not noticed that Redis is back go on by their shares: so does this worker until they have."""
        rejoin_ms = self._rejoin_ms
        wait = (
            self._alone.wait_for_share(ask, len(self._flying), self.workers_seen, self._now_ms()) if rejoin_ms else None
        )
        return None if wait is None else replace(wait, ms=min(wait.ms, rejoin_ms))

    async def _reserve_now(self, asks: Sequence[Ask]) -> list[Grant | Wait]:
        if not asks:
            return []
        if not self._untold.must_tell:
            try:
                return await self._reserve(asks)
            except (RedisAway, asyncio.CancelledError) as error:
                # It may have been done, and only its answer was lost.
                for ask in asks:
                    self._untold.ghost(ask.reservation, self._now_ms())
                if not isinstance(error, RedisAway):
                    raise
        else:
            with suppress(RedisAway):
                await self._tell(only_if_needed=True)
                return [Wait(1, "restored")] * len(asks)
        return [self._reserve_alone(ask) for ask in asks]

    async def _reserve(self, asks: Sequence[Ask]) -> list[Grant | Wait]:
        replies = await self._run([self._reserve_step(ask) for ask in asks])
        verdicts = [self._verdict(ask, *reply) for ask, reply in zip(asks, replies, strict=True)]
        if any(reply[0] == b"unknown" for reply in replies):
            await self._tell(only_if_needed=True)
        return verdicts

    def _reserve_step(self, ask: Ask) -> Step:
        return reserve_step(
            self._key,
            ask.reservation,
            self._windows,
            self._alone.amounts(ask),
            self._now_ms(),
            lease_ms=LEASE_MS,
            worker=self._worker,
            concurrency=self._backend.concurrency,
        )

    def _verdict(self, ask: Ask, verdict: bytes, *rest: Any) -> Grant | Wait:
        if verdict == b"unknown":
            self._store.missed_outage()
            self._untold.must_tell = True
            return Wait(1, "restored")
        if verdict == b"wait":
            ms, limit, *frees = rest
            return Wait(int(ms), limit.decode(), tuple(zip(frees[::2], frees[1::2], strict=True)))
        return self._granted(Grant(ask.reservation, ask.model, ask.amounts, rest[0].decode()), ask, alone=False)

    def _reserve_alone(self, ask: Ask) -> Grant | Wait:
        if not self.may_go_alone():
            return Wait(ASK_MATES_MS, "redis")
        now_ms = self._now_ms()
        wait = self._alone.wait(ask, len(self._flying), self.workers_seen, now_ms)
        if wait is not None:
            return wait
        half_open = self._alone.breaker.state(now_ms) == "half_open"
        if half_open:
            self._alone.breaker.probe(ask.reservation)
        grant = Grant(ask.reservation, ask.model, ask.amounts, "breaker" if half_open else "")
        return self._granted(grant, ask, alone=True)

    def _granted(self, grant: Grant, ask: Ask, *, alone: bool) -> Grant:
        now_ms, amounts = self._now_ms(), self._alone.amounts(ask)
        self._flying.begin(grant.reservation, now_ms)
        self._untold.hold(grant.reservation, amounts, now_ms, alone=alone)
        self._alone.share.hold(grant.reservation, amounts, now_ms)
        return grant

    def written(self, grant: Grant) -> None:
        """The request of a granted call has been written to its connection, right now."""
        now_ms = self._now_ms()
        if self._flying.written(grant.reservation, now_ms):
            self._alone.share.written(grant.reservation, now_ms)

    async def settle(self, grant: Grant, settled: Settled) -> BreakerChange | None:
        """The call has just ended. Returns how this changed the breaker. What blocks the backend is told before."""
        now_ms, ago_ms, name = self._now_ms(), settled.written_ago_ms, grant.reservation
        written_ms = None if ago_ms is None else now_ms - ago_ms
        used = None if settled.used is None else amounts_by_window(self._windows, grant.model, settled.used)
        self._flying.end(name)
        self._alone.share.settle(name, written_ms, now_ms, used)
        try:
            reported, change = await self._settle(grant, settled, used)
            if not reported:
                # Redis lost it and may just be told of it, or the lease ran out and it has been counted then.
                self._untold.ghost(name, now_ms)
        except RedisAway:
            reported, change = False, self._alone.breaker.settle(name, settled.health, now_ms)
            self._untold.ghost(name, now_ms, settled.health)
            if change and change.state == "closed":
                self._untold.forgive()
        self._untold.settle(name, written_ms, now_ms, used, reported=reported)
        return change

    async def _settle(
        self, grant: Grant, settled: Settled, used: dict[str, int] | None
    ) -> tuple[bool, BreakerChange | None]:
        if self._untold.is_alone(grant.reservation):
            raise RedisAway("It does not hold this call.")
        ending = Ending(settled.written_ago_ms, health=settled.health)
        said = matching((w for w in self._windows if w.holds_for(grant.model)), settled.remaining)
        step = settle_step(self._key, grant.reservation, ending, self._backend.breaker, used, said)
        _, found, state, failures, for_ms = (await self._run([step]))[0]
        return found == 1, BreakerChange(state.decode(), failures, for_ms) if state else None

    async def block(self, for_s: float | None, reason: str, refused: str = "") -> float:
        """Let no worker start a call for a while, because the backend said so; after that one call goes first.

        `for_s` None, it did not say how long: 1 s, doubling to 60 s with every refusal in a row. `refused` is the
        reservation of the call that brought the news; it is to be settled after this. Returns for how many seconds.
        """
        for_ms = -1 if for_s is None else round(for_s * 1000)
        words = (for_ms, reason, refused, FIRST_BLOCK_MS, LONGEST_BLOCK_MS)
        try:
            for_ms = int((await self._run([Step("block", self._key, words)]))[0][1])
            self._alone.block(self._now_ms() + for_ms, reason)
        except RedisAway:
            for_ms = for_ms if for_ms >= 0 else FIRST_BLOCK_MS
            until_ms = self._now_ms() + for_ms
            self._alone.block(until_ms, reason)
            self._alone.share.throttled(self._now_ms())
            self._untold.block, self._untold.must_tell = (until_ms, reason), True
        return for_ms / 1000

    # ── in the background ────────────────────────────────────────────────────────────────────────────────────────

    async def keep(self) -> None:
        """Renew the leases of the calls in flight; to be called every few seconds.

        :raises RedisAway: if Redis is away.
        """
        if self._flying:
            await self._run([Step("keep", self._key, (LEASE_MS, *self._flying))])

    async def lapse(self, worker: str) -> None:
        """Another worker of this backend died: what its calls hold is not held for the rest of their leases.

        :raises RedisAway: if Redis is away.
        """
        await self._run([Step("lapse", self._key, (prefix_of(worker),))])

    async def remind(self) -> None:
        """Tell Redis what it does not know, and look at what the whole fleet uses. Never raises."""
        with suppress(RedisAway):
            await self._tell(only_if_needed=True)
            await self._look_at_redis()

    async def _look_at_redis(self) -> None:
        now_ms, names = self._now_ms(), (window.name for window in self._windows)
        arriving = {
            name: written_ms for name, written_ms in self._flying.due(now_ms).items() if not self._untold.is_alone(name)
        }
        steps = [Step("look", self._key, (self._worker, *names))]
        if arriving:
            words = [word for name, written_ms in arriving.items() for word in (name, now_ms - written_ms)]
            steps.insert(0, Step("arrive", self._key, words))
        reply = (await self._run(steps))[-1]
        for name, written_ms in arriving.items():
            self._flying.told(name)
            self._untold.arrive(name, written_ms)
        look = look_of(reply, self._windows, self._backend.concurrency)
        if not look.known:
            self._store.missed_outage()
            self._untold.must_tell = True
            await self._tell(only_if_needed=True)
        elif not self._untold.must_tell:
            self._alone.learn(look, len(self._flying), complete=not self._rejoin_ms)

    async def restore(self) -> bool:
        """Make sure that Redis knows this worker and what it used, and look at it; False if Redis is away."""
        try:
            await self._tell()
            await self._look_at_redis()
        except RedisAway:
            return False
        return True
