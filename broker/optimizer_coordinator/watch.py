"""The look at the fleet, twice a second: what routing knows of it, and which routes are out, told once for all."""

from contextlib import suppress

from optimizer_coordinator.outages import Outage, Outages
from optimizer_coordinator.routing import Router, Shut
from optimizer_coordinator.snapshot import Snapshot
from optimizer_coordinator.speaker import Speaker
from optimizer_service.logs import Logger
from optimizer_state.quotas import Quotas
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable

# Longer than it takes a coordinator to see that a route is back, shorter than anybody cares to hear the same again.
TOLD_MS = 15_000


class Watch:
    """The look of one coordinator. `speaker` is set while there is a session to speak on."""

    def __init__(
        self, store: Store, snapshot: Snapshot, router: Router, quotas: Quotas, instance: str, log: Logger
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._quotas = quotas
        self._instance = instance
        self._outages = Outages(router.routes())
        self._log = log
        self.speaker: Speaker | None = None

    async def look(self) -> None:
        """Look once. Without Redis, or without anybody to tell, everything stays as it was seen last."""
        if not await self._snapshot.refresh():
            return
        with suppress(RedisAway, BrokerUnavailable):
            await self._quotas.meet(self._instance)
            if self.speaker is not None:
                await self._tell(self.speaker)

    async def _tell(self, speaker: Speaker) -> None:
        stopped = {
            name: Shut(each.shut_ms or each.ready_ms, each.reason) for name, each in self._snapshot.outlooks.items()
        }
        alive = self._snapshot.alive or frozenset()
        for key in self._outages.down:
            await self._store.command("PEXPIRE", self._key(key), TOLD_MS)
        gone, back = self._outages.look(alive, stopped, self._store.clock.now_ms())
        for backends in back:
            if await self._store.command("DEL", self._key(backends)):
                self._log.info("route is back", backends=backends)
        for outage in gone:
            await self._tell_once(speaker, outage)

    async def _tell_once(self, speaker: Speaker, outage: Outage) -> None:
        if not await self._store.command("SET", self._key(outage.backends), 1, "NX", "PX", TOLD_MS):
            return
        self._log.warning("route is out", routes=outage.routes, reason=outage.reason)
        left_s = None if outage.back_ms is None else max(0, outage.back_ms - self._store.clock.now_ms()) / 1000
        await speaker.route_out(outage.backends, outage.message, left_s)

    def _key(self, backends: tuple[str, ...]) -> str:
        return f"{self._store.prefix}:down:{'+'.join(backends)}"
