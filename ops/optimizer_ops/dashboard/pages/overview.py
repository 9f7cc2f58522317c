"""The first page: how it goes, what it saves, what is wrong."""

import time

from starlette.requests import Request
from starlette.responses import Response

from optimizer_ops.dashboard.pages.chart import CALLS, LATENCY, MONEY, ORIGIN, chart
from optimizer_ops.dashboard.pages.render import Asked, page, sources_of
from optimizer_ops.dashboard.pages.spans import SPANS, span_of
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import Point, Totals

_TOP = 6


async def overview(request: Request) -> Response:
    """`/`"""
    sources, asked, span = sources_of(request), Asked(), span_of(request.query_params)
    since = span.since(time.time())
    totals, points, agents = await asked.all(
        sources.ask(History.totals, since),
        sources.ask(History.timeline, since, step_s=span.step_s),
        sources.ask(History.shares, "agent", since),
    )
    return await page(
        request,
        "overview.html",
        span=span,
        spans=SPANS,
        totals=totals or Totals(),
        charts=charts(points or [], span.step_s),
        agents=(agents or [])[:_TOP],
        trouble=asked.trouble,
    )


def charts(points: list[Point], step_s: float) -> dict[str, str]:
    """The charts that an overview, an agent and a backend show."""
    return {
        "origin": chart(points, ORIGIN, "count", step_s, stacked=True),
        "money": chart(points, MONEY, "money", step_s),
        "calls": chart(points, CALLS, "count", step_s, stacked=True),
        "latency": chart(points, LATENCY, "ms", step_s),
    }
