"""What several endpoints ask for: the live status with what it must show, and sums of the history."""

import asyncio
from typing import Any, Literal

from optimizer_ops.dashboard.api.endpoint import Asked
from optimizer_ops.dashboard.api.errors import ApiError
from optimizer_ops.dashboard.api.spans import Span
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import Dimension, Share, Totals
from optimizer_ops.live.status import LiveStatus, Service


async def fleet(asked: Asked, needed: Literal["redis", "rabbitmq"]) -> LiveStatus:
    """What is now.

    :raises ApiError: if the service that is needed is away.
    """
    status = await asked.sources.look()
    service: Service = getattr(status, needed)
    if not service.there:
        raise ApiError(503, "unavailable", away(service))
    return status


def away(service: Service) -> str:
    """Why a service is away, in a sentence."""
    return service.problem or f"{service.name} at {service.url} does not answer."


async def totals(asked: Asked, span: Span, **where: str) -> Totals:
    """Sums of a span."""
    return await asked.sources.ask(History.totals, span.since, span.until, **where)


async def shares(asked: Asked, span: Span, *by: Dimension, **where: str) -> list[list[Share]]:
    """Sums of a span by each of these dimensions."""
    asking = (asked.sources.ask(History.shares, each, span.since, span.until, **where) for each in by)
    return list(await asyncio.gather(*asking))


async def timeline(asked: Asked, span: Span) -> Any:
    """Sums of a span by its steps."""
    return await asked.sources.ask(History.timeline, span.since, span.until, step_s=span.step_s)
