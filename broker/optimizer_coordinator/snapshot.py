"""What a coordinator knows of the fleet without asking: refreshed in the background, never looked up per request."""

from optimizer_coordinator.metrics import BACKEND_ALIVE
from optimizer_state.presence import Roster
from optimizer_state.store import RedisAway, Store

REFRESH_S = 1.0


class Snapshot:
    """Which backends have a live worker; at most a second old while Redis answers, the last known while it is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._roster = Roster(store)
        self.alive: frozenset[str] | None = None

    async def refresh(self) -> None:
        """Look again; keeps the last view if Redis is away."""
        try:
            await self._store.synchronise_clock()
            alive = frozenset(presence.backend for presence in await self._roster.alive())
        except RedisAway:
            return
        for backend in alive | (self.alive or frozenset()):
            BACKEND_ALIVE.labels(backend).set(backend in alive)
        self.alive = alive
