"""Events as they happen; the stream fills the list."""

from starlette.requests import Request
from starlette.responses import Response

from optimizer_ops.dashboard.filters import kind, with_
from optimizer_ops.dashboard.pages.event_filter import EventFilter
from optimizer_ops.dashboard.pages.render import page, sources_of
from optimizer_wire.events import KINDS


async def events(request: Request) -> Response:
    """`/events?type=&agent=&backend=`"""
    wanted = EventFilter.of(request.query_params)
    groups = sorted({name.rpartition(".")[0] for name in KINDS if name.count(".") > 1})
    return await page(
        request,
        "events.html",
        wanted=wanted,
        kinds=[*(f"{kind(group)}." for group in groups), *sorted(map(kind, KINDS))],
        chosen=kind(wanted.type),
        hub=sources_of(request).hub,
        stream=f"/stream?{with_({'events': 1}, type=wanted.type, agent=wanted.agent, backend=wanted.backend)}",
    )
