"""The search among requests, and the whole way of one."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from optimizer_ops.dashboard.filters import with_
from optimizer_ops.dashboard.pages.render import Asked, missing, page, sources_of
from optimizer_ops.dashboard.pages.spans import SPANS, kept, span_of
from optimizer_ops.dashboard.pages.waterfall import waterfall
from optimizer_ops.history.reader import History
from optimizer_ops.history.trace_reader import SeveralRequests

_PAGE = 50
_BY = ("agent", "backend", "model", "task", "tenant", "source")
_CHOICES = 100


async def requests(request: Request) -> Response:
    """`/requests?agent=&backend=&task=&source=&order=slowest&failed=1&before=…`; `request` leads to that one."""
    query = request.query_params
    if identifier := query.get("request", "").strip():
        return RedirectResponse(f"/requests/of?{with_({}, id=identifier)}", 303)
    sources, asked, span = sources_of(request), Asked(), span_of(query)
    since = span.since(time.time())
    where = {name: value for name in _BY if (value := query.get(name, "").strip())}
    slowest, failed = query.get("order") == "slowest", query.get("failed") == "1"
    rows, agents, backends, tasks = await asked.all(
        sources.ask(
            History.requests,
            since,
            limit=_PAGE + 1,
            before=query.get("before") or None,
            slowest=slowest,
            failed=failed,
            **where,
        ),
        *(sources.ask(History.shares, by, since, percentiles=False) for by in ("agent", "backend", "task")),
    )
    rows = rows or []
    return await page(
        request,
        "requests.html",
        span=span,
        spans=SPANS,
        query=kept(query, before=None),
        where=where,
        slowest=slowest,
        failed=failed,
        rows=rows[:_PAGE],
        more=with_(kept(query, before=rows[_PAGE - 1].id)) if len(rows) > _PAGE else None,
        first=not query.get("before"),
        choices={"agent": _names(agents), "backend": _names(backends), "task": _names(tasks)},
        trouble=asked.trouble,
    )


def _names(shares: Any) -> list[str]:
    return sorted(each.name for each in (shares or [])[:_CHOICES] if each.name)


async def trace(request: Request) -> Response:
    """`/requests/of?id=…`: one request's whole way, by its id or the beginning of it."""
    identifier = request.query_params.get("id", "").strip()
    asked = Asked()
    try:
        found = await asked.of(sources_of(request).ask(History.trace, identifier)) if identifier else None
    except SeveralRequests as error:
        return await missing(request, str(error), "/requests", "all requests")
    if found is None and not asked.trouble:
        words = f"No request begins with “{identifier}” in the history. It may be older than what is kept."
        return await missing(request, words, "/requests", "all requests")
    return await page(
        request,
        "trace.html",
        trace=found,
        waterfall=waterfall(found, time.time()) if found else [],
        trouble=asked.trouble,
    )
