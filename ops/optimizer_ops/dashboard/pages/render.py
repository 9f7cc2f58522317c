"""A page from its template: as a whole, or only what changes when it is asked for again."""

import asyncio
import time
from collections.abc import Awaitable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from optimizer_ops.dashboard import filters
from optimizer_ops.dashboard.access import Access
from optimizer_ops.dashboard.sources import Sources
from optimizer_ops.history.reader import HistoryUnavailable

T = TypeVar("T")

NAVIGATION = (
    ("/", "Overview"),
    ("/agents", "Agents"),
    ("/backends", "Backends"),
    ("/requests", "Requests"),
    ("/costs", "Costs"),
    ("/cache", "Cache"),
    ("/health-and-alerts", "Health"),
    ("/events", "Events"),
    ("/dead-letters", "Dead letters"),
)

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parents[1] / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= filters.FILTERS
_templates.globals |= {"navigation": NAVIGATION, "version": version("fleet-optimizer")}


def sources_of(request: Request) -> Sources:
    """What this process reads from."""
    sources: Sources = request.app.state.sources
    return sources


def access_of(request: Request) -> Access:
    """Who may do what."""
    access: Access = request.app.state.access
    return access


class Asked:
    """Questions to the history for one page: what it cannot answer is left out, and said once in `trouble`."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    async def of(self, question: Awaitable[T]) -> T | None:
        """The answer, or None."""
        try:
            return await question
        except HistoryUnavailable as error:
            self.trouble = str(error)
            return None

    async def all(self, *questions: Awaitable[Any]) -> list[Any]:
        """The answers to several questions, side by side."""
        return list(await asyncio.gather(*map(self.of, questions)))


async def page(request: Request, template: str, status: int = 200, **context: Any) -> Response:
    """Answer with a page; with its inner part alone if our own script asks for it again."""
    sources, access = sources_of(request), access_of(request)
    look = await sources.look()
    everywhere = {
        "look": look,
        "now": time.time(),
        "path": request.url.path,
        "here": f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path,
        "whole": "hx-request" not in request.headers,
        "signed_in": access.knows(request),
        "steering": access.token is not None,
        "trouble": None,
        "events_away": sources.hub.away,
        "stream": "/stream",
        "back": None,
    }
    # A long table takes milliseconds: the other viewers need not wait for it.
    html = await run_in_threadpool(_templates.get_template(template).render, everywhere | context)
    return HTMLResponse(html, status)


async def missing(request: Request, words: str, href: str, there: str) -> Response:
    """Answer that what was asked for is not known, and where to look."""
    return await page(request, "missing.html", 404, words=words, href=href, there=there)


def alone(template: str, **context: Any) -> str:
    """A page without anything of the fleet on it."""
    return _templates.get_template(template).render(context)


def not_done(why: str, status: int, back: str) -> Response:
    """Answer that something was not changed, and why."""
    return HTMLResponse(alone("not_done.html", why=why, back=back), status)
