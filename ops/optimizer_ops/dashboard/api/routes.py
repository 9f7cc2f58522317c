"""The routes of the API, its description, and a page that shows it."""

from collections import defaultdict
from typing import Any

from starlette.routing import BaseRoute, Route

from optimizer_ops.dashboard.api import cache, costs, health, monitoring, requests
from optimizer_ops.dashboard.api.docs import page
from optimizer_ops.dashboard.api.endpoint import Asked, Endpoint
from optimizer_ops.dashboard.api.openapi import description
from optimizer_ops.dashboard.api.serving import Serving, nothing_here

ENDPOINTS: tuple[Endpoint, ...] = (
    *health.ENDPOINTS,
    *costs.ENDPOINTS,
    *cache.ENDPOINTS,
    *monitoring.ENDPOINTS,
    *requests.ENDPOINTS,
)
_DESCRIPTION = description(ENDPOINTS)


async def _described(_: Asked) -> dict[str, Any]:
    return _DESCRIPTION


async def _shown(_: Asked) -> str:
    return page(_DESCRIPTION)


_ABOUT = (
    Endpoint("GET", "/openapi.json", "about", "This API as OpenAPI 3.1", _described, dict),
    Endpoint("GET", "/docs", "about", "This API as a page", _shown, str, text="text/html; charset=utf-8"),
)


def _routes() -> list[BaseRoute]:
    paths: defaultdict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in (*ENDPOINTS, *_ABOUT):
        paths[endpoint.path][endpoint.method] = endpoint
    served: list[BaseRoute] = [Route(path, Serving(methods)) for path, methods in paths.items()]
    rest = [
        Route(f"{root}/{{rest:path}}", nothing_here, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        for root in ("/api", "/optimization")
    ]
    return [*served, *rest]


routes = _routes()
