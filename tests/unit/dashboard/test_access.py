"""Who may read and act."""

import time

import pytest
from starlette.requests import HTTPConnection

from optimizer_config.credentials import Secret
from optimizer_ops.dashboard.access import COOKIE, SESSION_S, Access, from_own_page

TOKEN = "sixteen-letters-or-more"
OPEN, CLOSED, TOKENLESS = (
    Access(Secret(TOKEN), "127.0.0.1"),
    Access(Secret(TOKEN), "0.0.0.0"),
    Access(None, "localhost"),
)


def asked(**headers: str) -> HTTPConnection:
    """A request with these headers, by a loopback name unless they say otherwise."""
    named = {"host": "127.0.0.1:8502"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPConnection(
        {"type": "http", "headers": [(name.encode(), value.encode("latin-1")) for name, value in named.items()]}
    )


def with_cookie(session: str, **headers: str) -> HTTPConnection:
    """A request with this session."""
    return asked(cookie=f"{COOKIE}={session}", **headers)


@pytest.mark.parametrize("host", ["127.0.0.1:8502", "localhost", "[::1]:8502", "127.0.0.1"])
def test_this_machine_reads_without_a_token(host):
    """By a loopback name everybody on this machine reads, and nobody acts."""
    assert TOKENLESS.may_read(asked(host=host))
    assert OPEN.may_read(asked(host=host))
    assert not TOKENLESS.may_act(asked(host=host))
    assert not OPEN.may_act(asked(host=host))


@pytest.mark.parametrize(
    "host", ["", "evil.example", "localhost.evil.example", "[", "127.0.0.1.evil.example", "10.0.0.1"]
)
def test_another_name_reads_nothing(host):
    """A name that only points here is not this machine."""
    assert not TOKENLESS.may_read(asked(host=host))
    assert not OPEN.may_read(asked(host=host))


def test_beyond_loopback_a_name_is_not_enough():
    """Where others can reach the port, reading needs the token whatever the request says."""
    assert not CLOSED.may_read(asked())
    assert CLOSED.may_read(asked(authorization=f"Bearer {TOKEN}"))


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_the_token_acts(value):
    """The token in a header acts; without one that is set nothing does, not even the empty one."""
    assert OPEN.may_act(asked(authorization=value))
    assert not TOKENLESS.may_act(asked(authorization=value))


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe9\xff"]
)
def test_what_is_not_the_token_does_not(value):
    """Anything else in the header is refused, also what is no ASCII."""
    assert not OPEN.may_act(asked(authorization=value))
    assert not TOKENLESS.may_act(asked(authorization=value))


def test_a_session_reads_everywhere_and_acts_from_our_pages():
    """A session is as good as the token for reading; to act, the browser must say that our page sends it."""
    session = CLOSED.session()

    assert CLOSED.may_read(with_cookie(session))
    assert not CLOSED.may_act(with_cookie(session))
    assert CLOSED.may_act(with_cookie(session, origin="http://127.0.0.1:8502"))
    assert CLOSED.may_act(with_cookie(session, sec_fetch_site="same-origin"))


def test_a_session_ends():
    """After its time a session is none."""
    assert not OPEN.knows(with_cookie(OPEN.session(time.time() - SESSION_S - 1)))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s[:-1] + ("0" if s[-1] != "0" else "1"),
        lambda s: "9" + s,
        lambda s: s.replace(".", ""),
        lambda _: "x.y",
    ],
)
def test_a_session_cannot_be_made(change):
    """Whoever changes a session, or makes one with another token, has none."""
    assert not OPEN.knows(with_cookie(change(OPEN.session())))
    assert not OPEN.knows(with_cookie(Access(Secret("another-token-of-length"), "127.0.0.1").session()))
    assert not TOKENLESS.knows(with_cookie(TOKENLESS.session()))


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "http://127.0.0.1:8502"}, True),
        ({"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:8502"}, False),
        ({"sec_fetch_site": "cross-site"}, False),
        ({"sec_fetch_site": "none"}, False),
    ],
)
def test_where_a_form_comes_from(headers, own):
    """Only what says that it comes from this very server does."""
    assert from_own_page(asked(**headers)) is own
