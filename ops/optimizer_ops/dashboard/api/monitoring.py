"""`/api/monitoring/…`: how long requests take, what the cache spares, where calls go, and which breakers are open."""

import asyncio

import msgspec

from optimizer_config.errors import ConfigError
from optimizer_ops.dashboard.api.answers import (
    Breaker,
    BreakersAnswer,
    CacheAnswer,
    PerformanceAnswer,
    ResetAnswer,
    RoutedBackend,
    RoutingAnswer,
    named,
    sums_of,
)
from optimizer_ops.dashboard.api.endpoint import Asked, Endpoint
from optimizer_ops.dashboard.api.looking import fleet, shares, timeline, totals
from optimizer_ops.dashboard.api.spans import SpanQuery, span_of
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.history.views import Happening, Totals
from optimizer_state.baseline import Baseline

_MOST_CHANGES = 50


async def performance(asked: Asked) -> PerformanceAnswer:
    """Latencies and errors."""
    span = await span_of(asked)
    all_of, (backends,), points = await asyncio.gather(
        totals(asked, span), shares(asked, span, "backend"), timeline(asked, span)
    )
    return PerformanceAnswer(
        span=span, sums=sums_of(all_of), backends=named(backends), step_s=span.step_s, timeline=points
    )


async def cache(asked: Asked) -> CacheAnswer:
    """Hits and collapsed requests."""
    span = await span_of(asked)
    all_of, (tasks, agents), points = await asyncio.gather(
        totals(asked, span), shares(asked, span, "task", "agent"), timeline(asked, span)
    )
    return CacheAnswer(
        span=span,
        sums=sums_of(all_of),
        tasks=named(tasks),
        agents=named(agents),
        step_s=span.step_s,
        timeline=points,
    )


async def routing(asked: Asked) -> RoutingAnswer:
    """Where calls may go, and where they went."""
    span = await span_of(asked)
    status, (parts,) = await asyncio.gather(fleet(asked, "redis"), shares(asked, span, "backend"))
    went = {part.name: part.totals for part in parts}
    calls = sum(each.calls for each in went.values())
    return RoutingAnswer(
        span=span,
        routes={task: list(entries) for task, entries in asked.sources.config.routes.items()},
        backends=[
            RoutedBackend(
                name=backend.name,
                routes=backend.routes,
                workers=backend.workers,
                mode=backend.mode,
                breaker=backend.breaker,
                blocked_until=backend.blocked_until,
                blocked_reason=backend.blocked_reason,
                ready_at=backend.ready_at,
                waiting=backend.waiting,
                share=went.get(backend.name, Totals()).calls / calls if calls else None,
                sums=sums_of(went.get(backend.name, Totals())),
            )
            for backend in status.backends
        ],
    )


async def breakers(asked: Asked) -> BreakersAnswer:
    """Which circuit breakers are open, until when."""
    span = await span_of(asked)
    status = await fleet(asked, "redis")
    return BreakersAnswer(
        span=span,
        breakers=[
            Breaker(
                backend=backend.name,
                state=backend.breaker,
                failures=backend.breaker_failures,
                opens_at=_opens_at(asked, backend.name),
                until=backend.breaker_until,
                blocked_until=backend.blocked_until,
                blocked_reason=backend.blocked_reason,
            )
            for backend in status.backends
        ],
        changes=await _changes(asked, span.since, span.until),
    )


def _opens_at(asked: Asked, name: str) -> int:
    try:
        return asked.sources.config.backend(name).breaker.failures
    except ConfigError:
        # A worker serves it that has another configuration.
        return 0


async def _changes(asked: Asked, since: float, until: float) -> list[Happening] | None:
    types = ("optimizer.circuit_breaker.*",)
    try:
        found = await asked.sources.ask(History.happenings, since, types=types, limit=_MOST_CHANGES)
    except HistoryUnavailable:
        return None
    return [each for each in found if each.at < until]


async def reset(asked: Asked) -> ResetAnswer:
    """Let sums count from now."""
    baseline = Baseline(asked.sources.store)
    since = None
    if asked.body.clear:
        await baseline.clear()
    else:
        since = await baseline.reset()
    asked.sources.cached.forget()
    return ResetAnswer(since=since)


class ResetWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`clear` takes the last reset back."""

    clear: bool = False


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/monitoring/performance",
        "monitoring",
        "Latencies and errors: in all, by backend, over time",
        performance,
        PerformanceAnswer,
        SpanQuery,
        needs=("history",),
    ),
    Endpoint(
        "GET",
        "/api/monitoring/cache",
        "monitoring",
        "Hits and collapsed requests: in all, by task, by agent, over time",
        cache,
        CacheAnswer,
        SpanQuery,
        needs=("history",),
    ),
    Endpoint(
        "GET",
        "/api/monitoring/routing",
        "monitoring",
        "Where calls may go, and where they went",
        routing,
        RoutingAnswer,
        SpanQuery,
        needs=("history", "redis"),
    ),
    Endpoint(
        "GET",
        "/api/monitoring/circuit-breakers",
        "monitoring",
        "Which backends are not called, why, and until when",
        breakers,
        BreakersAnswer,
        SpanQuery,
        needs=("redis",),
    ),
    Endpoint(
        "POST",
        "/api/monitoring/reset",
        "monitoring",
        "Let sums count from now",
        reset,
        ResetAnswer,
        body=ResetWish,
        needs=("redis",),
        details="Whatever is asked for without `since` counts from here on, for everybody. Nothing of the history is "
        'deleted: `since=7d` shows it all. `{"clear": true}` takes it back.',
    ),
)
