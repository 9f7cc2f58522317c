"""Alerts as a part of the recorder: it watches, and tells."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from sqlalchemy.engine import Engine as Database

from optimizer_config.model import Config
from optimizer_ops.alerts import register
from optimizer_ops.alerts.delivery import Delivery, Tell
from optimizer_ops.alerts.message import message_of
from optimizer_ops.alerts.notices import EVENT_SINK, Notice
from optimizer_ops.alerts.sinks.build import build
from optimizer_ops.alerts.sinks.event import EventSink, Publish
from optimizer_ops.alerts.sinks.sink import Teller
from optimizer_ops.alerts.watch import Look, Watch
from optimizer_ops.history.database import DatabaseUnavailable, writing
from optimizer_service.logs import Logger

LONGEST_PAUSE_S = 10.0
# Longer than a look may take.
LEAST_LEASE_S = 8.0


class Alerting:
    """Watches one deployment and tells what is wrong, until `run` is cancelled.

    Any number may run on one history: one of them holds the lease, and the others wait for it.

    :raises ConfigError: if a sink cannot be used as it is configured.
    """

    def __init__(
        self, config: Config, database: Database, look: Look, publish: Publish, *, source: str, log: Logger
    ) -> None:
        self._log = log
        self._source = source
        self._database = database
        self._watch = Watch(config, database, look)
        # Often enough for the times that are configured.
        self._pause_s = min(LONGEST_PAUSE_S, max(0.5, min(config.alerts.for_s, config.alerts.clear_s) / 3))
        self._lease_s = max(LEAST_LEASE_S, 3 * self._pause_s)
        self._held_until = 0.0
        self._restored = False
        event_sink = EventSink(source, publish)
        self._deliveries = [self._delivery(EVENT_SINK, event_sink.tell, 10.0)]
        for sink in config.alerts.sinks:
            tell = partial(_tell, build(sink), config.prefix)
            self._deliveries.append(self._delivery(sink.name, tell, sink.timeout_s))

    def _delivery(self, sink: str, tell: Tell, timeout_s: float) -> Delivery:
        return Delivery(sink, tell, timeout_s, self._database, lambda: time.time() < self._held_until, self._log)

    async def run(self) -> None:
        """Watch and tell, until cancelled. While the history is away nothing is told."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for delivery in self._deliveries:
                    tasks.create_task(delivery.run(), name=f"alerts to {delivery.sink}")
                tasks.create_task(self._keep_watching(), name="alerts")
        finally:
            with suppress(DatabaseUnavailable):
                await asyncio.to_thread(self._leave)

    async def _keep_watching(self) -> None:
        trouble = ""
        while True:
            try:
                await self._look()
                trouble = ""
            except DatabaseUnavailable as error:
                if trouble != str(error):
                    trouble = str(error)
                    self._log.warning("alerts cannot be judged", reason=trouble)
            except Exception as error:  # noqa: BLE001 - a fault in one look must not end all looking, nor the recorder
                if trouble != repr(error):
                    trouble = repr(error)
                    self._log.exception("looking for alerts failed")
            await asyncio.sleep(self._pause_s)

    async def _look(self) -> None:
        if not await asyncio.to_thread(self._take):
            self._restored = False
            return
        if not self._restored:
            await self._watch.restore()
            self._restored = True
            self._wake()
            self._log.info("watching", sinks=[delivery.sink for delivery in self._deliveries])
        if await self._watch.look():
            self._wake()

    def _wake(self) -> None:
        for delivery in self._deliveries:
            delivery.wake()

    def _take(self) -> bool:
        now = time.time()
        with writing(self._database) as connection:
            held = register.take_lease(connection, self._source, now, now + self._lease_s)
        self._held_until = now + self._lease_s if held else 0.0
        return held

    def _leave(self) -> None:
        self._held_until = 0.0
        with writing(self._database) as connection:
            register.leave_lease(connection, self._source)


async def _tell(teller: Teller, deployment: str, notices: Sequence[Notice]) -> None:
    await teller.tell(message_of(notices, deployment))
