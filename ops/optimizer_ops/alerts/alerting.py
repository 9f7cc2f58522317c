"""Alerts as a part of the recorder: it watches, and tells."""

import asyncio
from collections.abc import Sequence
from functools import partial

from sqlalchemy.engine import Engine as Database

from optimizer_config.model import Config
from optimizer_ops.alerts.delivery import Delivery
from optimizer_ops.alerts.message import message_of
from optimizer_ops.alerts.notices import EVENT_SINK, Notice
from optimizer_ops.alerts.sinks.build import build
from optimizer_ops.alerts.sinks.event import EventSink, Publish
from optimizer_ops.alerts.sinks.sink import Teller
from optimizer_ops.alerts.watch import Look, Watch
from optimizer_ops.history.database import DatabaseUnavailable
from optimizer_service.logs import Logger

LONGEST_PAUSE_S = 10.0


class Alerting:
    """Watches one deployment and tells what is wrong, until `run` is cancelled.

    :raises ConfigError: if a sink cannot be used as it is configured.
    """

    def __init__(
        self, config: Config, database: Database, look: Look, publish: Publish, *, source: str, log: Logger
    ) -> None:
        self._log = log
        self._watch = Watch(config, database, look)
        # Often enough for the times that are configured.
        self._pause_s = min(LONGEST_PAUSE_S, max(0.5, min(config.alerts.for_s, config.alerts.clear_s) / 3))
        event_sink = EventSink(source, publish)
        self._deliveries = [Delivery(EVENT_SINK, event_sink.tell, 10.0, database, log)]
        for sink in config.alerts.sinks:
            tell = partial(_tell, build(sink), config.prefix)
            self._deliveries.append(Delivery(sink.name, tell, sink.timeout_s, database, log))

    async def run(self) -> None:
        """Watch and tell, until cancelled. While the history is away nothing is told."""
        async with asyncio.TaskGroup() as tasks:
            for delivery in self._deliveries:
                tasks.create_task(delivery.run(), name=f"alerts to {delivery.sink}")
            tasks.create_task(self._keep_watching(), name="alerts")

    async def _keep_watching(self) -> None:
        restored, trouble = False, ""
        while True:
            try:
                if not restored:
                    await self._watch.restore()
                    restored = True
                if await self._watch.look():
                    for delivery in self._deliveries:
                        delivery.wake()
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


async def _tell(teller: Teller, deployment: str, notices: Sequence[Notice]) -> None:
    await teller.tell(message_of(notices, deployment))
