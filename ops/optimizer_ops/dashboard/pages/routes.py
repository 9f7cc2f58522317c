"""The routes of the pages."""

from starlette.routing import Route

from optimizer_ops.dashboard.pages.overview import overview
from optimizer_ops.dashboard.pages.stream import stream

routes = [
    Route("/", overview, name="overview"),
    Route("/stream", stream, name="stream"),
]
