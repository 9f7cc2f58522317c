"""What the API answers. Times are Unix seconds, durations say their unit, money is in US dollars, shares are 0 to 1.

None means that nobody knows, which is never said as 0.
"""

from typing import Literal

import msgspec

from optimizer_ops.cache.stats import CacheStats
from optimizer_ops.dashboard.api.spans import Span
from optimizer_ops.history.views import AgentProfile, AlertRow, Dimension, Happening, Point, RequestRow, Share, Totals
from optimizer_ops.live.status import Problem, Queue


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums, and what follows from them: requests without a call of their own, and their share; the share of errors."""

    totals: Totals
    saved_calls: int
    hit_rate: float | None
    error_rate: float | None


class Named(Sums, frozen=True, kw_only=True):
    """The sums of one agent, backend, model, task or tenant; `name` is empty where it does not apply."""

    name: str


class PartHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a part is there; `message` says what is wrong, to those who may read."""

    there: bool
    message: str = ""


class HealthAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How this process and what it reads from do. `degraded`: it answers, and something is away."""

    status: Literal["ok", "degraded"]
    version: str
    uptime_s: float
    parts: dict[Literal["redis", "rabbitmq", "history", "coordinators", "recorder"], PartHealth]


class ReportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet asked, what it cost, and what was saved; `without_usd` is what it would have cost without."""

    span: Span
    sums: Sums
    without_usd: float
    by: dict[Dimension, list[Named]]
    problems: list[Problem]


class CostsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Costs by a dimension, the most costly first, and in all."""

    span: Span
    by: Dimension
    sums: Sums
    shares: list[Named]


class PerformanceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How long requests took and how many failed: in all, by backend, and over time in steps of `step_s`."""

    span: Span
    sums: Sums
    backends: list[Named]
    step_s: float
    timeline: list[Point]


class CacheAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache and collapsing spared: in all, by task, by agent, and over time in steps of `step_s`."""

    span: Span
    sums: Sums
    tasks: list[Named]
    agents: list[Named]
    step_s: float
    timeline: list[Point]


class CacheStatsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored now, and what hits and collapsing spared in the span; no sums if there is no history."""

    stored: CacheStats
    span: Span
    sums: Sums | None


class RoutedBackend(msgspec.Struct, frozen=True, kw_only=True):
    """A backend as routing sees it: who goes there, whether it takes calls, when a call would start, and what went."""

    name: str
    routes: list[str]
    workers: int | None
    mode: Literal["paused", "draining"] | None
    breaker: Literal["closed", "open", "half_open"] | None
    blocked_until: float | None
    blocked_reason: str
    ready_at: float | None
    waiting: int | None
    share: float | None
    sums: Sums


class RoutingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The routes by task, in the order of preference, and the backends: `share` is of all calls in the span."""

    span: Span
    routes: dict[str, list[str]]
    backends: list[RoutedBackend]


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """The circuit breaker of one backend. `failures` are those that count now, of `opens_at`."""

    backend: str
    state: Literal["closed", "open", "half_open"] | None
    failures: int
    opens_at: int
    until: float | None
    blocked_until: float | None
    blocked_reason: str


class BreakersAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All circuit breakers, and their latest changes in the span, the newest first; none if there is no history."""

    span: Span
    breakers: list[Breaker]
    changes: list[Happening] | None


class AgentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Every agent ever seen, the one seen last first; sums are of the span."""

    span: Span
    agents: list[AgentProfile]


class QueuesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The queues at a moment, and how many messages wait in them."""

    at: float
    waiting: int
    coordinators: int | None
    recorders: int | None
    queues: list[Queue]


class RequestsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Requests; `next` is the `before` of the next page, None on the last one."""

    span: Span
    requests: list[RequestRow]
    next: str | None


class AlertsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong now, as it can be seen, and the alerts of the span: what lasts first."""

    span: Span
    problems: list[Problem]
    alerts: list[AlertRow]


class ResetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """From when sums count now, unless `since` says otherwise; None: from 24 hours ago again."""

    since: float | None


def sums_of(totals: Totals) -> Sums:
    """Totals with what follows from them."""
    return Sums(totals=totals, saved_calls=totals.saved_calls, hit_rate=totals.hit_rate, error_rate=totals.error_rate)


def named(shares: list[Share]) -> list[Named]:
    """Shares with what follows from them."""
    return [
        Named(
            name=share.name,
            totals=share.totals,
            saved_calls=share.totals.saved_calls,
            hit_rate=share.totals.hit_rate,
            error_rate=share.totals.error_rate,
        )
        for share in shares
    ]
