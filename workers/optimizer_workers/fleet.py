"""What a worker knows of the others: which backends are served, and which can take no more calls for now."""

from contextlib import suppress

from optimizer_state.budget import Budget
from optimizer_state.presence import Presence, Roster
from optimizer_state.store import RedisAway, Store


class Fleet:
    """A view of the fleet, as old as the last heartbeat. While Redis is away it keeps the last one.

    `alive`: backends with a live worker, None while nobody knows. `dry_until_ms`: by backend. `own_dry_until_ms`: until
    when this worker's backend can take no more, for the others.
    """

    def __init__(self, store: Store, presence: Presence, budget: Budget) -> None:
        self._store = store
        self._roster = Roster(store)
        self._presence = presence
        self._budget = budget
        self.alive: frozenset[str] | None = None
        self.dry_until_ms: dict[str, int] = {}
        self.own_dry_until_ms = 0

    async def beat(self) -> bool:
        """Tell that this worker lives, and look at the others; False if Redis is away."""
        try:
            await self._store.synchronise_clock()
            await self._roster.beat(self._presence)
            if self.own_dry_until_ms > self._store.clock.now_ms():
                await self._roster.tell_dry(self._presence.backend, self.own_dry_until_ms)
            self.dry_until_ms = await self._roster.dry()
            await self._look()
        except RedisAway:
            return False
        return True

    async def alive_now(self) -> frozenset[str] | None:
        """The backends with a live worker, looked up now if Redis answers."""
        with suppress(RedisAway):
            await self._look()
        return self.alive

    async def _look(self) -> None:
        alive = await self._roster.alive()
        self.alive = frozenset(presence.backend for presence in alive)
        mates = sum(1 for presence in alive if presence.backend == self._presence.backend)
        self._budget.workers_seen = max(1, mates)

    async def leave(self) -> None:
        """Tell that this worker stops."""
        with suppress(RedisAway):
            await self._roster.leave(self._presence)
