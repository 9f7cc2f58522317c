"""The dashboard as a real process over real HTTP, with a real Redis, RabbitMQ and database."""

import json
import re
import sqlite3
import time

import pytest
from tests.support.dashboard import TOKEN, Dashboard, launch, with_history
from tests.support.history_events import LONG, NASTY
from tests.support.stack import Stack, wait_until
from tests.support.tap import shared_stack

from optimizer_state.settings import Settings
from optimizer_state.store import Store

PAGES = (
    "/",
    "/?span=30d",
    "/agents",
    "/agents?q=qual",
    "/agents/of?name=quality",
    "/backends",
    "/backends/of?name=alpha",
    "/requests",
    "/requests?failed=1&order=slowest&agent=quality",
    "/requests/of?id=seed-000399",
    "/costs",
    "/costs?by=tenant&span=24h",
    "/cache",
    "/health-and-alerts",
    "/events",
    "/dead-letters",
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory, amqp_url, redis_url):
    """A deployment with a history, of all tests of this file."""
    with shared_stack(tmp_path_factory.mktemp("dashboard"), amqp_url, redis_url) as stack:
        yield with_history(stack)


@pytest.fixture(scope="module")
def dashboard(stack):
    """A dashboard with a token, on loopback."""
    return Dashboard(launch(stack))


@pytest.fixture(scope="module")
def reading_only(stack):
    """A dashboard without a token."""
    return Dashboard(launch(stack, token=None))


def modes(stack: Stack) -> str | None:
    """The mode of alpha, as Redis has it."""
    import asyncio

    async def look():
        store = Store(stack.redis_url, stack.prefix)
        try:
            return (await Settings(store).of(["alpha"]))["alpha"].mode
        finally:
            await store.close()

    return asyncio.run(look())


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_trusts_nobody_else(dashboard, path):
    """Every page answers with a heading, and neither names another host nor runs what is written into it."""
    answer = dashboard.ask(path)

    assert answer.status == 200
    assert answer.text.count("<h1") == 1
    assert answer.text.rstrip().endswith("</html>")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert not re.search(r'(src|href|action)="(https?:)?//', answer.text)
    assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=", answer.text)


@pytest.mark.parametrize("path", PAGES)
def test_what_is_asked_again_is_the_inner_part(dashboard, path):
    """A page that keeps itself current gets its inside alone."""
    text = dashboard.ask(path, HX_Request="true").text

    assert "<html" not in text
    assert text.count("<h1") == 1


@pytest.mark.parametrize("path", ["/", "/agents?span=30d", "/requests?span=30d", "/costs?span=30d"])
def test_names_are_shown_and_never_run(dashboard, path):
    """An agent whose name is a script is text on every page that shows it; so is one of 300 characters."""
    text = dashboard.ask(path).text

    assert NASTY not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


@pytest.mark.parametrize("name", [NASTY, LONG])
def test_odd_names_have_a_page(dashboard, name):
    """Whatever an agent is called, its page is found by the link to it."""
    import html
    import urllib.parse

    links = re.findall(r'href="(/agents/of\?[^"]+)"', dashboard.ask("/agents?span=30d").text)
    link = next(
        html.unescape(each) for each in links if f"name={urllib.parse.quote_plus(name)}&" in html.unescape(each)
    )

    answer = dashboard.ask(link)

    assert answer.status == 200
    assert html.escape(name).replace("&#x27;", "&#39;") in answer.text


def test_what_is_not_known_is_said(dashboard):
    """A request, an agent or a backend that nobody knows is a sentence and 404."""
    for path in ("/requests/of?id=nothing-like-it", "/agents/of?name=nobody", "/backends/of?name=nowhere"):
        answer = dashboard.ask(path)
        assert answer.status == 404
        assert "Not found" in answer.text


def test_a_request_is_found_by_the_beginning_of_its_id(dashboard):
    """The search leads to the request, whose page says why it took as long as it did."""
    found = dashboard.ask("/requests?request=seed-000399")

    assert found.status == 303
    text = dashboard.ask(found.headers["location"]).text
    assert 'class="verdict"' in text
    assert "Where the time went" in text


def test_the_beginning_of_several_ids_is_said(dashboard):
    """Where several requests begin so, the page names some of them."""
    answer = dashboard.ask("/requests/of?id=seed-0003")

    assert answer.status == 404
    assert "Several requests begin with seed-0003: seed-0003" in answer.text


def test_it_is_read_only_without_a_token(reading_only):
    """Without a token nothing can be changed, by a program or by a form, and nobody can sign in."""
    form = {"backend": "alpha", "verb": "pause"}

    assert reading_only.ask("/").status == 200
    assert "OPTIMIZER_ADMIN_TOKEN" in reading_only.ask("/backends/steer", form=form).text
    assert reading_only.ask("/backends/steer", form=form, Authorization="Bearer ").status == 403
    assert (
        reading_only.ask("/cache/flush", form={"by": "all", "act": "flush"}, Cookie="optimizer_session=.").status == 403
    )
    own = {"Origin": reading_only.url}
    assert reading_only.ask("/login", form={"token": ""}, **own).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-token-of-right-length"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "optimizer_session=99999999999.abcdef"},
        {"Cookie": "optimizer_session=99999999999."},
    ],
)
def test_nothing_is_changed_without_the_token(dashboard, stack, headers):
    """Who has not the token changes nothing, whatever he sends."""
    answer = dashboard.ask("/backends/steer", form={"backend": "alpha", "verb": "pause"}, **headers)

    assert answer.status == 401
    assert modes(stack) is None


def test_a_program_steers_with_the_token(dashboard, stack):
    """The token in a header pauses a backend and resumes it."""
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert dashboard.ask("/backends/steer", form={"backend": "alpha", "verb": "pause"}, **bearer).status == 303
    assert modes(stack) == "paused"
    assert "paused: no call starts" in dashboard.ask("/backends/of?name=alpha").text

    assert dashboard.ask("/backends/steer", form={"backend": "alpha", "verb": "resume"}, **bearer).status == 303
    assert modes(stack) is None

    assert dashboard.ask("/backends/steer", form={"backend": "alpha", "verb": "explode"}, **bearer).status == 400
    assert dashboard.ask("/backends/steer", form={"backend": "nowhere", "verb": "pause"}, **bearer).status == 400
    assert dashboard.ask("/backends/steer", form={"x": "y" * 20_000}, **bearer).status == 400


def signed_in(dashboard: Dashboard) -> str:
    """The cookie of somebody who has given the token."""
    answer = dashboard.ask("/login", form={"token": TOKEN}, Origin=dashboard.url)
    assert answer.status == 303
    return answer.headers["set-cookie"]


def test_a_browser_signs_in_and_steers(dashboard, stack):
    """The right token gives a cookie that no script and no other site can use; with it the form works."""
    cookie = signed_in(dashboard)

    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    kept = cookie.partition(";")[0]
    assert "Signed in" in dashboard.ask("/", Cookie=kept).text
    form = {"backend": "alpha", "verb": "drain"}
    assert dashboard.ask("/backends/steer", form=form, Cookie=kept, Origin=dashboard.url).status == 303
    assert modes(stack) == "draining"
    form["verb"] = "resume"
    assert dashboard.ask("/backends/steer", form=form, Cookie=kept, Sec_Fetch_Site="same-origin").status == 303
    assert modes(stack) is None


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"}])
def test_another_site_cannot_use_the_cookie(dashboard, stack, headers):
    """A form on another site changes nothing, also if a browser would send the cookie along."""
    kept = signed_in(dashboard).partition(";")[0]

    answer = dashboard.ask("/backends/steer", form={"backend": "alpha", "verb": "pause"}, Cookie=kept, **headers)

    assert answer.status == 401
    assert modes(stack) is None


def test_a_wrong_token_is_refused(dashboard):
    """A wrong token gives no cookie, and a sentence."""
    answer = dashboard.ask("/login", form={"token": "guess"}, Origin=dashboard.url)

    assert answer.status == 401
    assert "set-cookie" not in answer.headers
    assert "not the token" in answer.text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8502", "10.0.0.1"])
def test_a_foreign_name_reads_nothing(dashboard, reading_only, host):
    """A page that points its own name to this machine is shown nothing of the fleet."""
    assert reading_only.ask("/", Host=host).status == 403
    assert "quality" not in reading_only.ask("/agents", Host=host).text
    assert dashboard.ask("/", Host=host).headers["location"] == "/login"
    assert dashboard.ask("/agents", Host=host, Authorization=f"Bearer {TOKEN}").status == 200


def test_beyond_loopback_reading_needs_the_token(stack):
    """On an address of the network everything but signing in is for those who have the token."""
    dashboard = Dashboard(launch(stack, "--host", "0.0.0.0"))

    assert dashboard.ask("/").headers["location"] == "/login"
    assert dashboard.ask("/stream").status in (303, 401)
    assert dashboard.ask("/api/agents", Accept="application/json").status == 401
    assert dashboard.ask("/login").status == 200
    assert dashboard.ask("/static/dashboard.css").status == 200
    assert dashboard.ask("/", Authorization=f"Bearer {TOKEN}").status == 200
    assert dashboard.running.stop() == 0


def test_it_does_not_start_where_it_must_not(stack, dashboard):
    """Open to others without a token, or where the port is taken, it says so in one sentence and leaves with 78."""
    for options, words in (
        (("--host", "0.0.0.0"), "set a token"),
        (("--port", str(dashboard.port)), "choose another with --port"),
    ):
        running = launch(stack, *options, token=None)
        assert running.process.wait(20) == 78
        assert words in running.text()
        assert "Traceback" not in running.text()


def test_a_stream_ticks_and_tells_events(dashboard):
    """A stream begins with a tick; what happens then comes with the next one, as data and not as markup."""
    lines = dashboard.lines("/stream?events=1&type=operator")
    assert "event: tick" in [next(lines) for _ in range(4)]
    wait_until(lambda: "heard" in dashboard.ask("/health-and-alerts").text, "the event hub")

    bearer = {"Authorization": f"Bearer {TOKEN}"}
    dashboard.ask("/backends/steer", form={"backend": "beta", "verb": "resume"}, **bearer)

    told = (json.loads(line[6:]) for line in lines if line.startswith("data: ") and "events" in line)
    happened = next(each for batch in told for each in batch["events"] if each["backend"] == "beta")
    assert happened["type"] == "optimizer.operator"
    assert happened["outcome"] == "resumed"


def test_it_stops_though_somebody_watches(stack):
    """SIGTERM ends it within seconds with 0, streams too."""
    dashboard = Dashboard(launch(stack))
    lines = dashboard.lines("/stream")
    next(lines)

    began = time.monotonic()

    assert dashboard.running.stop() == 0
    assert time.monotonic() - began < 6
    assert "Traceback" not in dashboard.running.text()


def test_without_a_history_it_says_what_to_start(stack, tmp_path):
    """Every page is there without a history, and says how to get one; it comes by itself when there is one."""
    file = tmp_path / "none.db"
    dashboard = Dashboard(launch(stack, OPTIMIZER_HISTORY_URL=f"sqlite:///{file}"))

    for path in ("/", "/agents", "/costs", "/requests", "/health-and-alerts", "/backends/of?name=alpha"):
        answer = dashboard.ask(path)
        assert answer.status == 200
        assert "optimizer recorder" in answer.text

    with (
        sqlite3.connect(f"file:{stack.folder}/history.db?mode=ro", uri=True) as kept,
        sqlite3.connect(file) as copy,
    ):
        kept.backup(copy)
    wait_until(lambda: "quality" in dashboard.ask("/agents?span=30d").text, "the history")


def test_a_broken_history_is_a_sentence(stack, tmp_path):
    """A database that is none costs the numbers, not the page."""
    file = tmp_path / "broken.db"
    file.write_bytes(b"this is no database" * 100)
    dashboard = Dashboard(launch(stack, OPTIMIZER_HISTORY_URL=f"sqlite:///{file}"))

    answer = dashboard.ask("/")

    assert answer.status == 200
    assert "not a database" in answer.text
    assert "Traceback" not in dashboard.running.text()


def test_without_redis_and_rabbitmq_pages_stay(stack):
    """With both services away every page still answers soon, and says what is away."""
    away = {"OPTIMIZER_REDIS_URL": "redis://127.0.0.1:1/0", "OPTIMIZER_AMQP_URL": "amqp://guest:guest@127.0.0.1:1/"}
    dashboard = Dashboard(launch(stack, **away))

    for path in PAGES:
        began = time.monotonic()
        answer = dashboard.ask(path)
        assert answer.status == 200, path
        assert time.monotonic() - began < 5
    text = dashboard.ask("/health-and-alerts").text
    assert text.count("away") >= 2
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert dashboard.ask("/backends/steer", form={"backend": "alpha", "verb": "pause"}, **bearer).status == 503
    assert "guest:guest" not in text
