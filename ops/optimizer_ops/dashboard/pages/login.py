"""Signing in with the token, and out."""

import asyncio

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from optimizer_ops.dashboard.access import COOKIE, SESSION_S, from_own_page
from optimizer_ops.dashboard.pages.forms import BadForm, form_of
from optimizer_ops.dashboard.pages.render import access_of, alone

# Who guesses has so many tries a second, not thousands.
_WRONG_S = 0.5


async def login_form(request: Request) -> Response:
    """`GET /login`"""
    return await _form(request)


async def login(request: Request) -> Response:
    """`POST /login`: the right token gives a cookie that no script reads and no other site sends."""
    access = access_of(request)
    try:
        given = (await form_of(request)).get("token", "")
    except BadForm as error:
        return await _form(request, str(error), 400)
    if not from_own_page(request):
        return await _form(request, "Sign in from the dashboard’s own page.", 403)
    if not access.is_token(given):
        await asyncio.sleep(_WRONG_S)
        return await _form(request, "This is not the token.", 401)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        access.session(),
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


async def logout(_: Request) -> Response:
    """`POST /logout`"""
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


async def _form(request: Request, trouble: str = "", status: int = 200) -> Response:
    access = access_of(request)
    html = alone("login.html", trouble=trouble, steering=access.token is not None, closed=access.open_to_all)
    return HTMLResponse(html, status)
