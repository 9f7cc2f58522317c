"""What was paid and saved, by agent, backend, model, task or tenant."""

import time
from typing import get_args

from starlette.requests import Request
from starlette.responses import Response

from optimizer_ops.dashboard.pages.chart import MONEY, chart
from optimizer_ops.dashboard.pages.render import Asked, page, sources_of
from optimizer_ops.dashboard.pages.spans import SPANS, kept, span_of
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import Dimension, Totals

_MOST = 200


async def costs(request: Request) -> Response:
    """`/costs?by=agent&span=7d`"""
    query = request.query_params
    sources, asked, span = sources_of(request), Asked(), span_of(query, "7d")
    dimensions = get_args(Dimension)
    by = query.get("by") if query.get("by") in dimensions else "agent"
    since = span.since(time.time())
    totals, points, shares = await asked.all(
        sources.ask(History.totals, since),
        sources.ask(History.timeline, since, step_s=span.step_s),
        sources.ask(History.shares, by, since),
    )
    return await page(
        request,
        "costs.html",
        span=span,
        spans=SPANS,
        by=by,
        dimensions=dimensions,
        query=kept(query, span=span.name),
        totals=totals or Totals(),
        chart=chart(points or [], MONEY, "money", span.step_s),
        shares=(shares or [])[:_MOST],
        more=max(0, len(shares or []) - _MOST),
        most=max((each.totals.cost_usd for each in shares or []), default=0.0),
        trouble=asked.trouble,
    )
