"""One backend's status from its levels in Redis. Pure."""

from collections.abc import Iterable

import msgspec

from optimizer_config.model import Backend, Config
from optimizer_coordinator.routing import Router
from optimizer_ops.live.status import BackendStatus, LimitUse, Queue
from optimizer_state.levels import Levels, LimitLevel

_MICRO = 1e6


def status_of(
    config: Config, backend: Backend, levels: Levels | None, queues: Iterable[Queue], now: float
) -> BackendStatus:
    """A backend as it stands; without levels (Redis is away) only what the configuration and the queues say.

    :param now: Unix seconds of this machine: what ends in so many milliseconds of Redis' clock is told by it.
    """
    waiting = [queue.ready for queue in queues if queue.backend == backend.name and queue.ready is not None]
    status = BackendStatus(
        name=backend.name,
        label=backend.label,
        kind=backend.kind,
        configured=backend.name in config.configured,
        routes=routes_of(config, backend.name),
        models=list(backend.models),
        waiting=sum(waiting) if waiting else None,
    )
    return status if levels is None else _with_levels(status, levels, now)


def _with_levels(status: BackendStatus, levels: Levels, now: float) -> BackendStatus:
    outlook = levels.outlook
    later = outlook is not None and outlook.ready_ms > levels.at_ms
    return msgspec.structs.replace(
        status,
        workers=levels.workers,
        mode=levels.mode,
        blocked_until=now + levels.blocked_ms / 1000 if levels.blocked_ms else None,
        blocked_reason=levels.blocked_reason,
        breaker=levels.breaker.state,
        breaker_failures=levels.breaker.failures,
        breaker_until=now + levels.breaker.open_ms / 1000 if levels.breaker.state == "open" else None,
        limits=[_use(limit, now) for limit in levels.limits],
        in_flight=levels.concurrency.reserved,
        concurrency=levels.concurrency.count,
        ready_at=now + (outlook.ready_ms - levels.at_ms) / 1000 if outlook and later else None,
        waits_for=outlook.reason if outlook and later else "",
    )


def routes_of(config: Config, name: str) -> list[str]:
    """The routes and aliases that may send requests to a backend; `auto` if no route is written."""
    return [route for route, backends in Router(config).routes().items() if name in backends]


def _use(limit: LimitLevel, now: float) -> LimitUse:
    unit = _MICRO if limit.dimension == "usd" else 1
    return LimitUse(
        name=limit.name,
        dimension=limit.dimension,
        configured=limit.configured / unit,
        count=limit.count / unit,
        used=limit.used / unit,
        reserved=limit.reserved / unit,
        left=limit.left / unit,
        share=(limit.used + limit.reserved) / limit.count if limit.count else 1.0,
        frees_at=None if limit.frees_ms is None else now + limit.frees_ms / 1000,
    )
