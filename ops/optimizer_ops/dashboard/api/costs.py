"""`/optimization/report`, `/api/costs`, `/api/agents`: who asked for what, what it cost, what was saved."""

import asyncio

from optimizer_ops.dashboard.api.answers import AgentsAnswer, CostsAnswer, ReportAnswer, named, sums_of
from optimizer_ops.dashboard.api.endpoint import Asked, Endpoint
from optimizer_ops.dashboard.api.looking import shares, totals
from optimizer_ops.dashboard.api.spans import FilteredQuery, SpanQuery, span_of
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import Dimension

_MOST_NAMES = 10
_DIMENSIONS: tuple[Dimension, ...] = ("agent", "backend", "model", "task", "tenant")


class CostsQuery(FilteredQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Costs by what."""

    by: Dimension = "agent"


class AgentsQuery(SpanQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Since when sums are to be."""

    until: None = None


async def report(asked: Asked) -> ReportAnswer:
    """What was saved, and by whom."""
    span = await span_of(asked)
    all_of, parts, status = await asyncio.gather(
        totals(asked, span), shares(asked, span, *_DIMENSIONS), asked.sources.look()
    )
    return ReportAnswer(
        span=span,
        sums=sums_of(all_of),
        without_usd=all_of.cost_usd + all_of.saved_usd,
        by={by: named(part[:_MOST_NAMES]) for by, part in zip(_DIMENSIONS, parts, strict=True)},
        problems=status.problems,
    )


async def costs(asked: Asked) -> CostsAnswer:
    """Costs by a dimension."""
    span, query = await span_of(asked), asked.query
    all_of, (parts,) = await asyncio.gather(
        totals(asked, span, **query.where), shares(asked, span, query.by, **query.where)
    )
    return CostsAnswer(span=span, by=query.by, sums=sums_of(all_of), shares=named(parts))


async def agents(asked: Asked) -> AgentsAnswer:
    """Every agent and what it asks for."""
    span = await span_of(asked)
    return AgentsAnswer(span=span, agents=await asked.sources.ask(History.agents, span.since))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/optimization/report",
        "costs",
        "What the fleet asked, what it cost, and what was saved",
        report,
        ReportAnswer,
        SpanQuery,
        needs=("history",),
        details=f"The {_MOST_NAMES} most costly of each dimension; /api/costs has all of them.",
    ),
    Endpoint(
        "GET",
        "/api/costs",
        "costs",
        "Costs by agent, backend, model, task or tenant",
        costs,
        CostsAnswer,
        CostsQuery,
        needs=("history",),
    ),
    Endpoint(
        "GET",
        "/api/agents",
        "costs",
        "Every agent that was ever seen, and what it asks for",
        agents,
        AgentsAnswer,
        AgentsQuery,
        needs=("history",),
    ),
)
