"""What a coordinator's metrics say of the whole fleet: backends, budgets, queues. Looked at now and then.

Every coordinator tells the same, so that it is there as long as one of them runs; queries take the `max`. What cannot
be seen is not told: a budget that was last seen before Redis went away would be taken for one of now.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from optimizer_config.model import Config
from optimizer_coordinator.metrics import (
    BACKEND_BLOCKED,
    BACKEND_PAUSED,
    BACKEND_WORKERS,
    BREAKER,
    BREAKER_STATES,
    BUDGET_LIMIT,
    BUDGET_USED,
    QUEUE_CONSUMERS,
    QUEUE_MESSAGES,
)
from optimizer_state.level_reader import LevelsReader
from optimizer_state.levels import Levels, LimitLevel
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.messages import Priority
from optimizer_wire.session import Depth, Session
from optimizer_wire.topology import Names

LOOK_S = 5.0
_OF_BACKENDS = (BACKEND_WORKERS, BACKEND_BLOCKED, BACKEND_PAUSED, BREAKER, BUDGET_USED, BUDGET_LIMIT)
_MICRO = 1_000_000


class FleetGauges:
    """Sets the gauges."""

    def __init__(self, config: Config, store: Store, names: Names) -> None:
        self._levels = LevelsReader(store)
        self._backends = [config.backends[name] for name in sorted(config.served)]
        self._prefix = f"{names.prefix}."
        self._queues = (
            names.requests,
            names.dead,
            names.kept,
            names.recorder,
            *(names.call_queue(backend.name, priority) for backend in self._backends for priority in Priority),
        )

    async def look_at_backends(self) -> None:
        """Look once, through Redis."""
        try:
            found = await self._levels.of(self._backends)
        except RedisAway:
            for gauge in _OF_BACKENDS:
                gauge.clear()
            return
        for levels in found.values():
            _show(levels)

    async def watch_queues(self, session: Session) -> None:
        """Look at RabbitMQ's queues again and again, until the session is lost or this is cancelled."""
        try:
            with suppress(BrokerUnavailable):
                while True:
                    # While the broker has an alarm it answers nothing.
                    self._show_queues({} if session.blocked else await session.depths(self._queues))
                    await asyncio.sleep(LOOK_S)
        finally:
            self._show_queues({})

    def _show_queues(self, depths: Mapping[str, Depth | None]) -> None:
        for gauge in (QUEUE_MESSAGES, QUEUE_CONSUMERS):
            gauge.clear()
        for queue, depth in depths.items():
            if depth is not None:
                QUEUE_MESSAGES.labels(queue.removeprefix(self._prefix)).set(depth.ready)
                QUEUE_CONSUMERS.labels(queue.removeprefix(self._prefix)).set(depth.consumers)


def _show(levels: Levels) -> None:
    name = levels.backend
    BACKEND_WORKERS.labels(name).set(levels.workers)
    BACKEND_BLOCKED.labels(name).set(levels.blocked_ms / 1000)
    BACKEND_PAUSED.labels(name).set(levels.mode is not None)
    for state in BREAKER_STATES:
        BREAKER.labels(name, state).set(levels.breaker.state == state)
    for limit in (*levels.limits, levels.concurrency):
        labels = (name, limit.name, limit.dimension)
        BUDGET_USED.labels(*labels).set(_in_its_unit(limit, limit.used + limit.reserved))
        BUDGET_LIMIT.labels(*labels).set(_in_its_unit(limit, limit.count))


def _in_its_unit(limit: LimitLevel, amount: int) -> float:
    """Money is counted in millionths of a US dollar, and shown in dollars."""
    return amount / _MICRO if limit.dimension == "usd" else float(amount)
