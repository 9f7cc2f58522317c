"""Server-Sent Events: a tick when there is news, and the events themselves where they are shown.

One stream a browser tab. A tick says: ask again for what you show. It comes a second after an event, and every few
seconds anyway; what is shown then comes from the same answers for all who look.
"""

import time
from collections.abc import AsyncIterator
from contextlib import nullcontext

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from optimizer_ops.dashboard.hub import Viewer
from optimizer_ops.dashboard.pages.event_filter import EventFilter
from optimizer_ops.dashboard.pages.render import sources_of
from optimizer_ops.dashboard.sources import Sources
from optimizer_wire.cancellation import set_within

_BEAT_S = 1.0
_QUIET_BEATS = 4
_MOST = 200


async def stream(request: Request) -> Response:
    """`/stream`: ticks; with `events=1` events too, those that match `type`, `agent`, `backend` and `text`."""
    query = request.query_params
    wanted = EventFilter.of(query) if query.get("events") else None
    return StreamingResponse(
        _messages(sources_of(request), wanted),
        media_type="text/event-stream",
        # A proxy that gathers answers would hold the events back.
        headers={"X-Accel-Buffering": "no"},
    )


async def _messages(sources: Sources, wanted: EventFilter | None) -> AsyncIterator[str]:
    """The stream, until the process stops or the viewer is too slow; leaving ends it too."""
    yield f"retry: 1000\n\n{_tick(sources)}"
    with sources.hub.viewer() if wanted else nullcontext() as viewer:
        heard, quiet = sources.hub.heard, 0
        while not sources.stop.is_set() and not (viewer and viewer.dropped):
            if viewer and wanted and (events := _events(viewer, wanted)):
                yield events
            await set_within(sources.stop, _BEAT_S)
            if sources.hub.heard != heard or (quiet := quiet + 1) >= _QUIET_BEATS:
                heard, quiet = sources.hub.heard, 0
                yield _tick(sources)


def _tick(sources: Sources) -> str:
    told = {"at": time.time(), "away": sources.hub.away, "started": sources.started}
    return f"event: tick\ndata: {msgspec.json.encode(told).decode()}\n\n"


def _events(viewer: Viewer, wanted: EventFilter) -> str:
    """What is new, the newest of it if it is more than a person can read, and how many were left out."""
    matching = [happened for happened in viewer.take() if wanted.matches(happened)]
    if not matching:
        return ""
    told = {"skipped": max(0, len(matching) - _MOST), "events": matching[-_MOST:]}
    return f"event: events\ndata: {msgspec.json.encode(told).decode()}\n\n"
