"""The routes of the pages."""

from starlette.routing import Route

from optimizer_ops.dashboard.pages.agents import agent, agents
from optimizer_ops.dashboard.pages.backends import backend, backends
from optimizer_ops.dashboard.pages.cache import cache, flush_cache
from optimizer_ops.dashboard.pages.costs import costs
from optimizer_ops.dashboard.pages.dead import dead_letters
from optimizer_ops.dashboard.pages.events import events
from optimizer_ops.dashboard.pages.health import health
from optimizer_ops.dashboard.pages.login import login, login_form, logout
from optimizer_ops.dashboard.pages.overview import overview
from optimizer_ops.dashboard.pages.requests import requests, trace
from optimizer_ops.dashboard.pages.steering import steer_backend
from optimizer_ops.dashboard.pages.stream import stream

routes = [
    Route("/", overview),
    Route("/agents", agents),
    Route("/agents/of", agent),
    Route("/backends", backends),
    Route("/backends/of", backend),
    Route("/backends/steer", steer_backend, methods=["POST"]),
    Route("/requests", requests),
    Route("/requests/of", trace),
    Route("/costs", costs),
    Route("/cache", cache),
    Route("/cache/flush", flush_cache, methods=["POST"]),
    Route("/health-and-alerts", health),
    Route("/events", events),
    Route("/dead-letters", dead_letters),
    Route("/stream", stream),
    Route("/login", login_form, methods=["GET"]),
    Route("/login", login, methods=["POST"]),
    Route("/logout", logout, methods=["POST"]),
]
