"""`/api/requests`, `/api/requests/{id}/trace`, `/api/alerts`, `/api/queue-stats`."""

import asyncio
from typing import Annotated

import msgspec

from optimizer_ops.dashboard.api.answers import AlertsAnswer, QueuesAnswer, RequestsAnswer
from optimizer_ops.dashboard.api.endpoint import Asked, Endpoint
from optimizer_ops.dashboard.api.errors import ApiError, invalid
from optimizer_ops.dashboard.api.looking import fleet
from optimizer_ops.dashboard.api.spans import FilteredQuery, Name, SpanQuery, span_of
from optimizer_ops.history.reader import History
from optimizer_ops.history.trace_reader import SeveralRequests
from optimizer_ops.history.views import Trace


class RequestsQuery(FilteredQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which requests: the newest first, or the slowest; `before` is the `next` of the page before."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    before: Name | None = None
    slowest: bool = False
    failed: bool = False


class AlertsQuery(SpanQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`open`: only what lasts."""

    until: None = None
    open: bool = False


async def requests(asked: Asked) -> RequestsAnswer:
    """A page of requests."""
    span, query = await span_of(asked), asked.query
    rows = await asked.sources.ask(
        History.requests,
        span.since,
        span.until,
        limit=query.limit + 1,
        before=query.before,
        slowest=query.slowest,
        failed=query.failed,
        **query.where,
    )
    page = rows[: query.limit]
    return RequestsAnswer(span=span, requests=page, next=page[-1].id if len(rows) > query.limit else None)


async def trace(asked: Asked) -> Trace:
    """One request's whole way."""
    name = asked.path["id"]
    try:
        found = await asked.sources.ask(History.trace, name) if "\0" not in name else None
    except SeveralRequests as error:
        raise invalid(str(error)) from None
    if found is None:
        raise ApiError(
            404, "not_found", "The history knows no request whose id begins so: it may be too old, or too new."
        )
    return found


async def alerts(asked: Asked) -> AlertsAnswer:
    """What is or was wrong."""
    span = await span_of(asked)
    status, rows = await asyncio.gather(
        asked.sources.look(), asked.sources.ask(History.alerts, span.since, open_only=asked.query.open)
    )
    return AlertsAnswer(span=span, problems=status.problems, alerts=rows)


async def queue_stats(asked: Asked) -> QueuesAnswer:
    """What waits where."""
    status = await fleet(asked, "rabbitmq")
    return QueuesAnswer(
        at=status.at,
        waiting=sum(queue.ready or 0 for queue in status.queues if queue.role in {"requests", "calls"}),
        coordinators=status.coordinators,
        recorders=status.recorders,
        queues=status.queues,
    )


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/requests",
        "requests",
        "Search the requests",
        requests,
        RequestsAnswer,
        RequestsQuery,
        needs=("history",),
    ),
    Endpoint(
        "GET",
        "/api/requests/{id}/trace",
        "requests",
        "One request's whole way, and why it took so long",
        trace,
        Trace,
        needs=("history",),
        details="`id` may be the beginning of one, if only one begins so.",
        may_be_missing=True,
    ),
    Endpoint(
        "GET",
        "/api/alerts",
        "monitoring",
        "What is wrong now, and the alerts of the span",
        alerts,
        AlertsAnswer,
        AlertsQuery,
        needs=("history",),
    ),
    Endpoint(
        "GET",
        "/api/queue-stats",
        "monitoring",
        "The queues: how many messages wait, who takes them",
        queue_stats,
        QueuesAnswer,
        needs=("rabbitmq",),
    ),
)
