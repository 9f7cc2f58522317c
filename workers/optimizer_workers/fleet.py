"""What a worker knows of the others: which backends are served, and how soon each can take a call."""

from contextlib import suppress
from dataclasses import replace

from optimizer_state.budget import Budget
from optimizer_state.outlook import Outlook
from optimizer_state.outlooks import Loads
from optimizer_state.presence import ALIVE_MS, REJOIN_S, Presence, Roster
from optimizer_state.store import RedisAway, Store


class Fleet:
    """A view of the fleet, as old as the last heartbeat. While Redis is away it keeps the last one.

    `alive`: backends with a live worker, None while nobody knows. `own`: how soon this worker's backend can take a
    call, for the others. `mates`: the other workers of its backend; `silent`: those that Redis has not heard of for a
    while.
    """

    def __init__(self, store: Store, presence: Presence, budget: Budget) -> None:
        self._store = store
        self._roster = Roster(store)
        self._presence = presence
        self._budget = budget
        self._loads = Loads()
        self._in_touch_since_ms: int | None = None
        self.alive: frozenset[str] | None = None
        self.mates: frozenset[str] = frozenset()
        self.silent: frozenset[str] = frozenset()
        self.own = Outlook(0)

    def ready_ms(self, backend: str) -> int:
        """When a backend can take a call that is sent there now, as far as known; past means now."""
        return self._loads.ready_ms(backend, self._store.clock.now_ms())

    def in_line_ms(self, backend: str, deadline_ms: int) -> int:
        """When a call with this deadline that is sent there now would start, before others with later ones."""
        return self._loads.in_line_ms(backend, deadline_ms, self._store.clock.now_ms())

    def ready(self) -> frozenset[str]:
        """The live backends that can take a call now, as far as known."""
        now_ms = self._store.clock.now_ms()
        return frozenset(backend for backend in self.alive or () if self.ready_ms(backend) <= now_ms)

    def sent_to(self, backend: str) -> None:
        """This worker has just sent a call there, and its mates probably as well: the next one waits behind them."""
        self._loads.add(backend, self._store.clock.now_ms(), self._budget.workers_seen)

    def hear(self, backend: str, ready_ms: int) -> None:
        """A backend can take a call only then, as a call that came from there tells."""
        self._loads.hear(backend, ready_ms, self._store.clock.now_ms())

    async def bury(self, worker: str) -> bool:
        """Whether another worker of this backend has died; what its calls hold of the budget ends then. Never raises.

        Only who has been in touch with Redis for long enough itself can tell: after an outage all have been silent.
        """
        now_ms, since_ms = self._store.clock.now_ms(), self._in_touch_since_ms
        if since_ms is None or now_ms - since_ms < REJOIN_S * 1000 or self._store.rejoin_ms(within_s=REJOIN_S):
            return False
        with suppress(RedisAway):
            heard_ms = await self._roster.heard_ms(Presence(self._presence.backend, worker))
            if heard_ms is not None and heard_ms < now_ms - ALIVE_MS:
                await self._budget.lapse(worker)
                return True
        return False

    async def beat(self) -> bool:
        """Tell that this worker lives, and look at the others; False if Redis is away."""
        try:
            await self._store.synchronise_clock()
            await self._roster.beat(self._presence)
            await self._look()
        except RedisAway:
            self._in_touch_since_ms = None
            return False
        if self._in_touch_since_ms is None:
            self._in_touch_since_ms = self._store.clock.now_ms()
        return True

    async def exchange(self) -> None:
        """Tell how soon this backend can take a call, and learn it of the others. Never raises."""
        with suppress(RedisAway):
            await self._roster.tell(self._presence, self._told())
            self._loads.learn(await self._roster.outlooks(), self._store.clock.now_ms())

    def _told(self) -> Outlook:
        """How soon, unless an operator has taken the backend out: then nobody is to move calls there."""
        mode = self._budget.fleet_view.mode
        return replace(self.own, reason=mode, shut_ms=0) if mode else self.own

    async def alive_now(self) -> frozenset[str] | None:
        """The backends with a live worker, looked up now if Redis answers."""
        with suppress(RedisAway):
            await self._look()
        return self.alive

    async def _look(self) -> None:
        alive = await self._roster.alive()
        self.alive = frozenset(presence.backend for presence in alive)
        workers = {presence.worker for presence in alive if presence.backend == self._presence.backend}
        self.mates = frozenset(workers - {self._presence.worker})
        silent = await self._roster.silent()
        self.silent = frozenset(presence.worker for presence in silent if presence.backend == self._presence.backend)
        self._budget.workers_seen = max(1, len(workers))

    async def leave(self) -> None:
        """Tell that this worker stops."""
        with suppress(RedisAway):
            await self._roster.leave(self._presence)
