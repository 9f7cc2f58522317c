"""Stands before every request: lets in who may, and sends what a browser needs to trust nothing but us."""

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from optimizer_ops.dashboard.access import Access, changes

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": a browser would not say of our own forms either where they come from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# What says no more than an open port does, and what is needed to sign in.
_OPEN = ("/static/", "/health", "/healthz", "/login", "/logout")
_BY_PROGRAMS = ("/api/", "/optimization/", "/metrics", "/openapi")


class Guard:
    """ASGI middleware: reading and acting by `Access`, and security headers on every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        app = self._refusal(HTTPConnection(scope)) or self._app
        await app(scope, receive, send_with_headers)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        """Why this request is not answered, or None."""
        path = request.scope["path"]
        if any(path == allowed or (allowed.endswith("/") and path.startswith(allowed)) for allowed in _OPEN):
            return None
        if not self._access.may_read(request):
            return self._not_read(request)
        if changes(request) and not self._access.may_act(request):
            return self._not_done(request)
        return None

    def _not_read(self, request: HTTPConnection) -> Response:
        if self._access.token is None:
            return _refused(request, 403, "forbidden", "Without a token this is only for 127.0.0.1 and localhost.")
        if _is_program(request) or "hx-request" in request.headers:
            return _refused(request, 401, "unauthorized", "This needs the token: Authorization: Bearer <token>.")
        return RedirectResponse("/login", 303)

    def _not_done(self, request: HTTPConnection) -> Response:
        if self._access.token is None:
            why = "This is read-only: set OPTIMIZER_ADMIN_TOKEN for the dashboard's process to steer from here."
            return _refused(request, 403, "forbidden", why)
        why = "To change something, sign in, or send Authorization: Bearer <token>."
        return _refused(request, 401, "unauthorized", why)


def _is_program(request: HTTPConnection) -> bool:
    """Whether no person sees the answer."""
    return request.scope["path"].startswith(_BY_PROGRAMS) or "text/html" not in request.headers.get("accept", "")


def _refused(request: HTTPConnection, status: int, code: str, message: str) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    if _is_program(request):
        return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
    return PlainTextResponse(f"{message}\n", status, headers)
