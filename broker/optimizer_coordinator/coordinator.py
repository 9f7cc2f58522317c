"""A coordinator: its parts, and its life on one session after another. What it does is in `stage.py`."""

import asyncio

from optimizer_config.model import Config
from optimizer_coordinator.fleet_gauges import FleetGauges
from optimizer_coordinator.gate import MOST_WAITING
from optimizer_coordinator.intake import Reception
from optimizer_coordinator.keeper import Keeper
from optimizer_coordinator.last_word import LastWords
from optimizer_coordinator.quota import QuotaBarrier
from optimizer_coordinator.routing import Router
from optimizer_coordinator.snapshot import Snapshot
from optimizer_coordinator.stage import Parts, Stage
from optimizer_coordinator.watch import Watch
from optimizer_coordinator.wiring import Wiring
from optimizer_service.lifetime import first_of, tell_blocked
from optimizer_service.logs import Logger
from optimizer_service.self_check import QUEUES_SOONER, SelfCheck
from optimizer_state.flights import Flights
from optimizer_state.quotas import Quotas
from optimizer_state.store import Store
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, backend_topology, shared_topology

# Those who wait at the gate are among them, and must leave room for others.
PREFETCH = 2 * MOST_WAITING


class Coordinator:
    """One coordinator process; any number of them share the request queue."""

    def __init__(self, config: Config, store: Store, instance: str, stop: asyncio.Event, log: Logger) -> None:
        self._names = Names(config.prefix)
        router = Router(config)
        quotas = Quotas(store, config.quotas)
        self._parts = Parts(
            names=self._names,
            reception=Reception(config, self._names, router),
            store=store,
            flights=Flights(store),
            barriers=(QuotaBarrier(quotas, config.quotas.over),),
            source=f"coordinator/{instance}",
            drain_s=config.waits.drain_s,
            hold_s=config.waits.hold_s,
            served=config.served,
        )
        last_words = LastWords(self._names, self._parts.reception, store, self._parts.flights, instance)
        self.keeper = Keeper(self._names, last_words, store, self._parts.source, config.keep_dead_s, stop, log)
        self._self_check_s = config.waits.self_check_s
        # Their call queues must exist even before a worker of theirs was ever started.
        self._served = sorted(config.served)
        self._stop = stop
        self._log = log
        self._snapshot = Snapshot(store, config)
        self.watch = Watch(store, self._snapshot, router, quotas, instance, log)
        self.gauges = FleetGauges(config, store, self._names)
        self.serving = False
        self.blocked: str | None = None
        self._check: SelfCheck | None = None

    @property
    def flowing(self) -> bool:
        """Whether messages come through to this process, or it has no connection and works on one."""
        return self._check is None or self._check.flowing

    async def serve(self, session: Session) -> None:
        """Serve on one session until it is lost or the process is asked to stop; then finish what was taken."""
        channel = await session.channel()
        calls = await session.channel(confirms=True)
        topologies = (shared_topology(self._names), backend_topology(self._names, self._served))
        for topology in topologies:
            await channel.declare(topology)
        await self.watch.look()
        stage = Stage(self._parts, self._snapshot, session, channel, calls, self._log)
        tag = await channel.consume(self._names.requests, stage.deliver, prefetch=PREFETCH, on_cancel=session.lost.set)
        check = SelfCheck(session, channel, calls, self._names, stage.consumed, self._self_check_s, self._log)
        wiring = Wiring(session, topologies, self._names, self._self_check_s / QUEUES_SOONER, self._log)
        await check.start()
        self._check = check
        self.watch.speaker = stage.speaker
        self.serving = True
        self._log.info("ready", queue=self._names.requests)
        working = asyncio.ensure_future(stage.work())
        checks = [
            asyncio.ensure_future(watching)
            for watching in (check.watch(), wiring.watch(), self.gauges.watch_queues(session))
        ]
        session.on_block(self._told_blocked)
        try:
            await first_of(self._stop, session.lost)
            for checking in checks:
                checking.cancel()
            if not session.lost.is_set():
                await check.settle()
                await stage.drain(tag)
        finally:
            self.serving = False
            self.blocked = None
            self._check = None
            for checking in checks:
                checking.cancel()
            self.watch.speaker = None
            working.cancel()
            await stage.abandon()
        if check.failure is not None:
            raise check.failure

    def _told_blocked(self, why: str | None) -> None:
        self.blocked = why
        tell_blocked(self._log, why)
