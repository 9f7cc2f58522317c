"""The application: pages, live streams and the API over one set of sources, behind one guard."""

from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from optimizer_ops.dashboard.access import Access
from optimizer_ops.dashboard.guard import Guard
from optimizer_ops.dashboard.sources import Sources

STATIC = Path(__file__).parent / "static"


def make_app(sources: Sources, access: Access, *route_lists: Sequence[BaseRoute]) -> Starlette:
    """An application of these lists of routes; a handler finds `request.app.state.sources` and `.access`.

    Whatever is not GET, HEAD or OPTIONS reaches a handler only with the token: `Guard` sees to it.
    """
    app = Starlette(
        routes=[
            *(route for routes in route_lists for route in routes),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Guard, access=access), Middleware(GZipMiddleware, minimum_size=1_000)],
    )
    app.state.sources = sources
    app.state.access = access
    return app
