"""`Live`: looks at Redis and RabbitMQ, as often as somebody wants to know. It changes nothing.

async with Live(config) as live:
    status = await live.look()
"""

import asyncio
import time
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Any, Self

import msgspec

from optimizer_config.model import Backend, Config
from optimizer_ops.live.backends import status_of
from optimizer_ops.live.broker import BrokerLook
from optimizer_ops.live.problems import problems_of
from optimizer_ops.live.status import LiveStatus, Queue, Role, Service
from optimizer_state.level_reader import LevelsReader
from optimizer_state.levels import Levels
from optimizer_state.store import RedisAway, Store
from optimizer_wire.urls import masked_url


class Live:
    """Looks at one deployment; it keeps its connections from one look to the next. Close it, or use `async with`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._why_away = ""
        self._store = Store(config.redis_url, config.prefix, on_change=self._redis_changed)
        self._levels = LevelsReader(self._store)
        self._broker = BrokerLook(config.amqp_url, config.prefix)
        self._one_at_a_time = asyncio.Lock()

    async def look(self, also: Collection[str] = ()) -> LiveStatus:
        """What is to be seen now. What is away is said to be away; nothing is raised for it.

        Shown are the backends that the configuration names and those that a worker serves; `also` names others.
        """
        async with self._one_at_a_time:
            return await self._look(also)

    async def _look(self, also: Collection[str]) -> LiveStatus:
        redis, levels = await self._redis()
        now = time.time()
        backends = self._shown(levels, also)
        seen = await self._broker.look([backend.name for backend in backends])
        status = LiveStatus(
            at=now,
            prefix=self._config.prefix,
            rabbitmq=seen.service,
            redis=redis,
            backends=[status_of(self._config, each, levels.get(each.name), seen.queues, now) for each in backends],
            queues=seen.queues,
            coordinators=_consumers(seen.queues, "requests"),
            recorders=_consumers(seen.queues, "recorder"),
        )
        return msgspec.structs.replace(status, problems=problems_of(status))

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(self._store.close(), self._broker.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _redis_changed(self, why: str | None) -> None:
        self._why_away = why or ""

    async def _redis(self) -> tuple[Service, dict[str, Levels]]:
        url = masked_url(self._config.redis_url)
        try:
            info: dict[str, Any] = await self._store.command("INFO", "server")
            began = time.monotonic()
            await self._store.command("PING")
            latency_ms = (time.monotonic() - began) * 1000
            levels = await self._levels.of(list(self._config.backends.values()))
        except RedisAway as error:
            why = f"Redis at {self._why_away}" if self._why_away else str(error)
            return Service(name="Redis", url=url, there=False, problem=why), {}
        version = str(info.get("redis_version", ""))
        return Service(name="Redis", url=url, there=True, version=version, latency_ms=latency_ms), levels

    def _shown(self, levels: dict[str, Levels], also: Collection[str]) -> list[Backend]:
        """In the order of the configuration."""
        named = self._config.configured.union(also)
        return [
            backend
            for name, backend in self._config.backends.items()
            if name in named or (name in levels and levels[name].workers)
        ]


def _consumers(queues: Iterable[Queue], role: Role) -> int | None:
    """How many consume the queue of a role: nobody, if it does not exist."""
    queue = next((queue for queue in queues if queue.role == role), None)
    return None if queue is None else 0 if queue.missing else queue.consumers
