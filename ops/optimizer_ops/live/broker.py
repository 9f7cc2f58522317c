"""Looking at RabbitMQ: whether it is there and takes messages, and how full the queues are."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from optimizer_ops.live.alarm import AlarmProbe
from optimizer_ops.live.status import Queue, Role, Service
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.messages import Priority
from optimizer_wire.session import Depth, Session
from optimizer_wire.topology import Names
from optimizer_wire.urls import masked_url

# An operator who looks is not to wait for a broker that accepts connections and says nothing.
CONNECT_S = 4.0
LOOK_S = 6.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at RabbitMQ found; no queues if it is away."""

    service: Service
    queues: list[Queue] = field(default_factory=list)


class BrokerLook:
    """Looks again and again on connections of its own; `look` never raises for a broker that is away."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._names = Names(prefix)
        self._looking: Session | None = None
        self._alarm = AlarmProbe(url, self._names)

    async def look(self, backends: Sequence[str]) -> Seen:
        """RabbitMQ itself, the shared queues, and the call queues of these backends."""
        wanted = _wanted(self._names, backends)
        try:
            async with asyncio.timeout(LOOK_S):
                session = await self._session()
                began = time.monotonic()
                await session.depths([self._names.requests])
                latency_ms = (time.monotonic() - began) * 1000
                depths = await session.depths([queue.name for queue in wanted])
                takes_nothing = await self._alarm.reason(timeout_s=CONNECT_S)
        except (BrokerUnavailable, TimeoutError) as error:
            await self._drop()
            why = str(error) or f"RabbitMQ at {masked_url(self._url)} did not answer within {LOOK_S:g} s."
            return Seen(Service(name="RabbitMQ", url=masked_url(self._url), there=False, problem=why))
        service = Service(
            name="RabbitMQ",
            url=masked_url(self._url),
            there=True,
            version=session.server_version,
            latency_ms=latency_ms,
            takes_nothing=takes_nothing or "",
        )
        return Seen(service, [_filled(queue, depths) for queue in wanted])

    async def close(self) -> None:
        """Close the connections."""
        await self._drop()

    async def _session(self) -> Session:
        if self._looking is None or self._looking.lost.is_set():
            self._looking = await Session.open(self._url, "optimizer look", timeout_s=CONNECT_S)
        return self._looking

    async def _drop(self) -> None:
        session, self._looking = self._looking, None
        if session is not None:
            with suppress(BrokerUnavailable):
                await session.close()
        await self._alarm.close()


def _wanted(names: Names, backends: Sequence[str]) -> list[Queue]:
    shared: list[tuple[str, Role]] = [
        (names.requests, "requests"),
        (names.dead, "dead"),
        (names.kept, "kept"),
        (names.recorder, "recorder"),
    ]
    calls = [
        Queue(name=names.call_queue(backend, priority), role="calls", backend=backend, priority=priority.value)
        for backend in backends
        for priority in Priority
    ]
    return [*(Queue(name=name, role=role) for name, role in shared), *calls]


def _filled(queue: Queue, depths: dict[str, Depth | None]) -> Queue:
    if queue.name not in depths:
        return queue  # it is there, for all that is known: this user may not see it
    depth = depths[queue.name]
    if depth is None:
        return msgspec.structs.replace(queue, missing=True)
    return msgspec.structs.replace(queue, ready=depth.ready, consumers=depth.consumers)
