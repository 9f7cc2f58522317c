"""The dead letters. They are read, never moved, from here."""

from starlette.requests import Request
from starlette.responses import Response

from optimizer_ops.dashboard.letters import LettersUnavailable
from optimizer_ops.dashboard.pages.render import page, sources_of


async def dead_letters(request: Request) -> Response:
    """`/dead-letters`"""
    try:
        listed, trouble = await sources_of(request).letters(), None
    except LettersUnavailable as error:
        listed, trouble = None, str(error)
    return await page(request, "dead.html", listed=listed, trouble=trouble)
