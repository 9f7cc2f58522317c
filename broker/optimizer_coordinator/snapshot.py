"""What a coordinator knows of the fleet without asking: refreshed in the background, never looked up per request."""

from collections.abc import Mapping

from optimizer_config.model import Config
from optimizer_coordinator.metrics import BACKEND_ALIVE
from optimizer_coordinator.routing import Shut, View
from optimizer_state.outlook import Outlook
from optimizer_state.outlooks import Loads
from optimizer_state.presence import Presence, Roster
from optimizer_state.settings import Settings
from optimizer_state.store import RedisAway, Store

REFRESH_S = 0.5
# What a worker told longer ago may have changed since: nobody is refused for it.
SURE_FOR_MS = 3_000
# An operator may take a pause back at any moment.
_UNSURE = frozenset({"", "paused", "draining"})


class Snapshot:
    """The fleet, half a second old while Redis answers; as last known while it is away."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._roster = Roster(store)
        self._settings = Settings(store)
        self._configured = config.configured
        self._loads = Loads()
        self._aside: frozenset[str] = frozenset()
        self.alive: frozenset[str] | None = None
        self.outlooks: Mapping[str, Outlook] = {}
        self.workers: tuple[Presence, ...] = ()

    @property
    def view(self) -> View:
        """What routing may know, now."""
        now_ms = self._store.clock.now_ms()
        return View(
            alive=self.alive,
            aside=self._aside,
            shut={name: Shut(told.shut_ms, told.reason) for name, told in self.outlooks.items() if _sure(told, now_ms)},
            ready_ms=lambda backend: self._loads.ready_ms(backend, now_ms),
            now_ms=now_ms,
        )

    def sent_to(self, backend: str) -> None:
        """A call has just been sent there: the next one waits behind it."""
        self._loads.add(backend, self._store.clock.now_ms())

    async def refresh(self) -> bool:
        """Look again; keeps the last view, and returns False, if Redis is away."""
        try:
            await self._store.synchronise_clock()
            workers = await self._roster.alive()
            outlooks = await self._roster.outlooks()
            alive = frozenset(presence.backend for presence in workers)
            settings = await self._settings.of(sorted(alive | self._configured))
        except RedisAway:
            return False
        for backend in alive | (self.alive or frozenset()):
            BACKEND_ALIVE.labels(backend).set(backend in alive)
        self._aside = frozenset(name for name, each in settings.items() if each.mode)
        self._loads.learn(outlooks, self._store.clock.now_ms())
        self.outlooks = outlooks
        self.workers = workers
        self.alive = alive
        return True


def _sure(told: Outlook, now_ms: int) -> bool:
    """Whether a backend takes no call before the time that its worker told."""
    return told.reason not in _UNSURE and told.shut_ms > now_ms and now_ms - told.told_ms < SURE_FOR_MS
