"""Mends exchanges and bindings that somebody deleted: nothing tells those who consume the queues behind them.

Requests are refused at once while the way to their queue is missing, so that this is looked at as often as the queues.
The way of dead letters is the keeper's: it tells that it was missing, which declaring anew cannot see.
"""

import asyncio
from dataclasses import replace

from optimizer_service.logs import Logger
from optimizer_wire.broker_errors import BrokerUnavailable, TopologyDiffers
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, Topology

SHORTEST_S = 0.5


class Wiring:
    """Declares the exchanges and bindings of a topology again and again, on one session."""

    def __init__(
        self, session: Session, topologies: tuple[Topology, ...], names: Names, interval_s: float, log: Logger
    ) -> None:
        self._session = session
        # A queue that is declared again at once may be one that RabbitMQ 3.10 gives nothing from; its consumer's end
        # makes the whole session anew.
        self._topologies = [
            replace(
                topology,
                queues=(),
                exchanges=tuple(each for each in topology.exchanges if each.name != names.dead),
                bindings=tuple(each for each in topology.bindings if each.exchange != names.dead),
            )
            for topology in topologies
        ]
        self._interval_s = max(SHORTEST_S, interval_s)
        self._log = log

    async def watch(self) -> None:
        """Look after them until cancelled, or until one cannot be declared: that ends the session."""
        while True:
            await asyncio.sleep(self._interval_s)
            # While the broker has an alarm it answers nothing on a connection that has published.
            if self._session.blocked is not None:
                continue
            try:
                for topology in self._topologies:
                    await self._session.declare(topology)
            except (BrokerUnavailable, TopologyDiffers) as error:
                if self._session.blocked is None and not self._session.lost.is_set():
                    self._log.warning("a queue is lost", reason=str(error), then="connecting again")
                    self._session.lost.set()
