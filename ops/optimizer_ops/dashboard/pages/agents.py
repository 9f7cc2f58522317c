"""Every agent that was ever seen, and one of them."""

import time

from starlette.requests import Request
from starlette.responses import Response

from optimizer_ops.dashboard.pages.overview import charts
from optimizer_ops.dashboard.pages.render import Asked, missing, page, sources_of
from optimizer_ops.dashboard.pages.spans import SPANS, span_of
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import AgentProfile, Totals

_MOST = 300
_LATEST = 12


async def agents(request: Request) -> Response:
    """`/agents`: all of them, or those whose name or tenant holds `q`."""
    sources, asked, span = sources_of(request), Asked(), span_of(request.query_params)
    wanted = request.query_params.get("q", "").strip().lower()
    known: list[AgentProfile] = await asked.of(sources.ask(History.agents, span.since(time.time()))) or []
    found = [profile for profile in known if wanted in profile.agent.lower() or wanted in profile.tenant.lower()]
    return await page(
        request,
        "agents.html",
        span=span,
        spans=SPANS,
        q=request.query_params.get("q", ""),
        known=len(known),
        found=len(found),
        profiles=found[:_MOST],
        tenants=len({profile.tenant for profile in known}),
        trouble=asked.trouble,
    )


async def agent(request: Request) -> Response:
    """`/agents/of?name=…&tenant=…`: one of them."""
    sources, asked, span = sources_of(request), Asked(), span_of(request.query_params)
    name, tenant = request.query_params.get("name", ""), request.query_params.get("tenant", "")
    since = span.since(time.time())
    who = {"agent": name} | ({"tenant": tenant} if tenant else {})
    known, totals, points, tasks, backends, latest, failed = await asked.all(
        sources.ask(History.agents, since),
        sources.ask(History.totals, since, **who),
        sources.ask(History.timeline, since, step_s=span.step_s, **who),
        sources.ask(History.shares, "task", since, percentiles=False, **who),
        sources.ask(History.shares, "backend", since, percentiles=False, **who),
        sources.ask(History.requests, since, limit=_LATEST, **who),
        sources.ask(History.requests, since, limit=_LATEST, failed=True, **who),
    )
    profiles = [each for each in known or [] if each.agent == name and tenant in ("", each.tenant)]
    if not profiles and not asked.trouble:
        return await missing(request, f"No agent named “{name}” was ever seen here.", "/agents", "all agents")
    return await page(
        request,
        "agent.html",
        span=span,
        spans=SPANS,
        name=name,
        tenant=tenant,
        profiles=profiles,
        totals=totals or Totals(),
        charts=charts(points or [], span.step_s),
        tasks=tasks or [],
        backends=backends or [],
        latest=latest or [],
        failed=failed or [],
        trouble=asked.trouble,
    )
