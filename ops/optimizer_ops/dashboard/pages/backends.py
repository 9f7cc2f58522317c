"""The backends as they are now and as they were, and one of them."""

import time

from starlette.requests import Request
from starlette.responses import Response

from optimizer_ops.dashboard.pages.overview import charts
from optimizer_ops.dashboard.pages.render import Asked, missing, page, sources_of
from optimizer_ops.dashboard.pages.spans import SPANS, span_of
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import Totals

_LATEST = 15
_TOP = 8


async def backends(request: Request) -> Response:
    """`/backends`"""
    sources, asked, span = sources_of(request), Asked(), span_of(request.query_params, "1h")
    shares = await asked.of(sources.ask(History.shares, "backend", span.since(time.time()))) or []
    return await page(
        request,
        "backends.html",
        span=span,
        spans=SPANS,
        totals={each.name: each.totals for each in shares},
        nothing=Totals(),
        trouble=asked.trouble,
    )


async def backend(request: Request) -> Response:
    """`/backends/of?name=…`"""
    sources, asked, span = sources_of(request), Asked(), span_of(request.query_params, "1h")
    name, since = request.query_params.get("name", ""), span.since(time.time())
    look = await sources.look()
    now = next((each for each in look.backends if each.name == name), None)
    totals, points, agents, models, calls, happenings = await asked.all(
        sources.ask(History.totals, since, backend=name),
        sources.ask(History.timeline, since, step_s=span.step_s, backend=name),
        sources.ask(History.shares, "agent", since, percentiles=False, backend=name),
        sources.ask(History.shares, "model", since, percentiles=False, backend=name),
        sources.ask(History.calls, since, limit=_LATEST, backend=name),
        sources.ask(History.happenings, since, limit=_LATEST, backend=name),
    )
    if now is None and not calls and not asked.trouble:
        return await missing(request, f"There is no backend “{name}”, and no call to it.", "/backends", "all backends")
    return await page(
        request,
        "backend.html",
        span=span,
        spans=SPANS,
        name=name,
        backend=now,
        totals=totals or Totals(),
        charts=charts(points or [], span.step_s),
        agents=(agents or [])[:_TOP],
        models=(models or [])[:_TOP],
        calls=calls or [],
        happenings=happenings or [],
        said=request.query_params.get("said", ""),
        trouble=asked.trouble,
    )
