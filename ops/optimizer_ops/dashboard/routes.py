"""All routes of the process: the pages, and the HTTP API."""

from collections.abc import Sequence

from starlette.routing import BaseRoute

from optimizer_ops.dashboard.api.routes import routes as api
from optimizer_ops.dashboard.pages.routes import routes as pages


def routes() -> Sequence[BaseRoute]:
    """The pages and their stream, then the API."""
    return [*pages, *api]
