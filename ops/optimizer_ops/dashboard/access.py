"""Who may read and who may act, by the token. Pure.

Without a token nobody acts, and reading is for this machine alone. With one, whoever has it acts: a program sends
`Authorization: Bearer <token>`, a browser signs in once and keeps a cookie that is signed with the token and ends.
"""

import hashlib
import hmac
import time
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from optimizer_config.credentials import Secret
from optimizer_service.health import is_loopback

COOKIE = "optimizer_session"
SESSION_S = 12 * 3600
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """The rule. `open_to_all`: the port can be reached from other machines."""

    def __init__(self, token: Secret | None, host: str) -> None:
        self.token = token
        self.open_to_all = not is_loopback(host)

    def may_read(self, request: HTTPConnection) -> bool:
        """With the token; without it only on a loopback port that is also asked for by a loopback name.

        A page elsewhere that lets its own name point to 127.0.0.1 would otherwise read what this browser can, and so
        would everybody through a proxy on this machine.
        """
        if self.knows(request):
            return True
        return not self.open_to_all and is_loopback(_host_name(request.headers.get("host", "")))

    def may_act(self, request: HTTPConnection) -> bool:
        """With the token; by the cookie only from our own pages."""
        return self._by_header(request) or (self._by_cookie(request) and from_own_page(request))

    def knows(self, request: HTTPConnection) -> bool:
        """Whether whoever asks has shown the token."""
        return self._by_header(request) or self._by_cookie(request)

    def is_token(self, given: str) -> bool:
        """In constant time, so that nobody finds the token letter by letter."""
        wanted = self.token.reveal() if self.token else ""
        same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), wanted.encode())
        return self.token is not None and same

    def session(self, now: float | None = None) -> str:
        """What the cookie holds: until when, and a signature that only the token makes."""
        until = str(int((time.time() if now is None else now) + SESSION_S))
        return f"{until}.{self._signature(until)}"

    def _by_header(self, request: HTTPConnection) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(given)

    def _by_cookie(self, request: HTTPConnection) -> bool:
        until, _, signature = request.cookies.get(COOKIE, "").partition(".")
        if self.token is None or not until.isascii() or not until.isdigit():
            return False
        same = hmac.compare_digest(signature.encode(errors="surrogateescape"), self._signature(until).encode())
        return same and int(until[:12]) > time.time()

    def _signature(self, until: str) -> str:
        key = self.token.reveal().encode() if self.token else b""
        return hmac.new(key, f"optimizer dashboard {until}".encode(), hashlib.sha256).hexdigest()


def changes(request: HTTPConnection) -> bool:
    """Whether the method may change something."""
    return request.scope["method"] not in _SAFE


def from_own_page(request: HTTPConnection) -> bool:
    """Whether a browser says that a page of this very server sends this.

    Every browser says `Sec-Fetch-Site` over HTTPS and to this machine, and `Origin` of whatever changes something.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "?")


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
