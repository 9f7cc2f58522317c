"""Alerts of one deployment, put together for the process that runs them."""

from functools import partial

from sqlalchemy.engine import Engine as Database

from optimizer_config.model import Config
from optimizer_ops.alerts.alerting import Alerting
from optimizer_ops.alerts.publisher import publish
from optimizer_ops.live.live import Live
from optimizer_ops.live.status import LiveStatus
from optimizer_service.logs import logger
from optimizer_wire.topology import Names


class Alerts:
    """The part of a recorder that watches and tells.

    :raises ConfigError: if a sink cannot be used as it is configured.
    """

    def __init__(self, config: Config, database: Database, source: str) -> None:
        self._config = config
        self._live: Live | None = None
        self._alerting = Alerting(
            config,
            database,
            self._look,
            partial(publish, config.amqp_url, Names(config.prefix)),
            source=source,
            log=logger("alerts").bind(source=source),
        )

    async def run(self) -> None:
        """Watch and tell until cancelled."""
        async with Live(self._config) as self._live:
            await self._alerting.run()

    async def _look(self) -> LiveStatus:
        if self._live is None:
            raise RuntimeError("Looked before it ran.")
        return await self._live.look()
