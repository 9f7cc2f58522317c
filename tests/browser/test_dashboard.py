"""The dashboard in a real headless Chromium: at every width, in both schemes, live."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.dashboard import TOKEN, Dashboard, launch
from tests.support.history_events import LONG, NASTY

pytestmark = pytest.mark.browser

PAGES = {
    "overview": "/",
    "agents": "/agents?span=30d",
    "agent": "/agents/of?name=quality",
    "backends": "/backends",
    "backend": "/backends/of?name=alpha",
    "requests": "/requests?span=30d",
    "request": "/requests/of?id=seed-000599",
    "costs": "/costs?span=30d",
    "cache": "/cache",
    "health": "/health-and-alerts",
    "events": "/events",
    "dead letters": "/dead-letters",
    "sign in": "/login",
}
WIDTHS = (390, 800, 1400)
FOLDER = Path(__file__).parent
CONTRASTS = (FOLDER / "contrasts.js").read_text()
UNNAMED = (FOLDER / "unnamed.js").read_text()


class Watched:
    """A tab, and what it complained about and asked for."""

    def __init__(self, context, url: str) -> None:
        self.page = context.new_page()
        self.url = url
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)
        self.page.on("dialog", self._dialog)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.foreign.append(request.url)

    def _dialog(self, dialog) -> None:
        self.complaints.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def open(self, path: str):
        self.page.goto(self.url + path)
        return self.page


@pytest.fixture
def tab(chromium, dashboard):
    """Opens tabs of a width and scheme; what went wrong in them fails the test."""
    opened = []

    def new(width: int = 1400, scheme: str = "light", url: str = dashboard.url) -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append((context, Watched(context, url)))
        return opened[-1][1]

    yield new
    for context, watched in opened:
        assert watched.foreign == []
        assert watched.complaints == []
        context.close()


def ask(fleet, prompt: str) -> None:
    """Ask the fleet a question, as anybody would."""
    command = [sys.executable, "-m", "optimizer_ops", "ask", prompt, "--agent", "asker"]
    subprocess.run(command, env=fleet.environment(), check=True, capture_output=True, timeout=60)


def until(page, expression: str, timeout_s: float = 20.0) -> None:
    """Wait until an expression is true in the page (its policy forbids what Playwright's own waiting does)."""
    end = time.monotonic() + timeout_s
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression} did not come true within {timeout_s:g} s"
        page.wait_for_timeout(100)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_is_readable(tab, width, scheme):
    """No page scrolls sideways, complains, asks anybody else, or is hard to read, by eye or by ear."""
    watched = tab(width, scheme)
    for name, path in PAGES.items():
        page = watched.open(path)
        page.wait_for_timeout(400)

        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.locator("h1").count() == 1, name
        assert page.evaluate(CONTRASTS) == [], name
        assert page.evaluate(UNNAMED) == [], name


def test_numbers_move_without_reloading(tab, fleet):
    """After a question the numbers and the chart of the overview are others, in the same document."""
    page = tab().open("/?span=1h")
    until(page, "document.querySelector('.uplot canvas') !== null")
    requests = page.locator(".tile", has_text="Requests").first.locator(".value")
    before, drawn = int(requests.inner_text()), page.get_attribute("#chart-origin", "data-chart")
    page.evaluate("window.same = true")

    ask(fleet, "What moves?")

    until(page, f"Number(document.querySelector('.tile .value').textContent) > {before}")
    assert page.get_attribute("#chart-origin", "data-chart") != drawn
    assert page.evaluate("window.same") is True
    assert page.locator(".uplot canvas").count() == 2


def test_what_is_typed_stays(tab, fleet):
    """What somebody types or chooses is not taken away when the page renews itself."""
    page = tab().open("/requests")
    page.fill("input[name=request]", "half an id")
    page.select_option("select[name=order]", "slowest")
    seen = page.locator("tbody tr").first.inner_text()

    ask(fleet, "Does typing stay?")

    until(page, f"document.querySelector('tbody tr').innerText !== {json.dumps(seen)}")
    assert page.input_value("input[name=request]") == "half an id"
    assert page.input_value("select[name=order]") == "slowest"


def test_events_come_live_and_can_be_held(tab, fleet):
    """Events appear as they happen, filtered as chosen; held ones come when one goes on."""
    page = tab().open("/events?type=cache.miss")
    ask(fleet, "Is this an event?")
    page.wait_for_selector("#events li", timeout=15_000)
    assert set(page.locator("#events .type").all_inner_texts()) <= {"○cache.miss"}
    before = page.locator("#events li").count()

    page.click("#pause")
    ask(fleet, "And this one, while it is held?")
    until(page, "/^Paused. [1-9]/.test(document.querySelector('#events-state').textContent)")
    assert page.locator("#events li").count() == before
    page.click("#pause")
    until(page, f"document.querySelectorAll('#events li').length > {before}")

    page.click("#events li a")
    page.wait_for_url("**/requests/of?id=*")
    assert page.locator(".verdict").count() == 1


@pytest.mark.parametrize("name", [NASTY, LONG])
def test_a_name_is_only_a_name(tab, name):
    """An agent that is called like a script, or 300 characters long, is led to by a click and runs nothing."""
    page = tab(390).open("/agents?span=30d")
    page.locator("tbody th a", has_text=name[:20]).first.click()
    page.wait_for_url("**/agents/of?*")

    assert name[:60] in page.locator("main").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_one_signs_in_steers_and_signs_out(tab):
    """Without the token there is no button; with it a backend is paused and resumed by a click, and then no more."""
    page = tab().open("/backends/of?name=beta")
    assert page.locator(".steer").count() == 0

    page.click("text=Sign in to steer")
    page.fill("input[name=token]", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Signed in")
    assert page.evaluate("document.cookie") == ""

    page.goto(page.url + "backends/of?name=beta")
    page.click("button:has-text('Pause')")
    page.wait_for_selector(".notice >> text=is paused")
    assert "paused: no call starts" in page.locator("main").inner_text()
    page.click("button:has-text('Resume')")
    page.wait_for_selector(".notice >> text=takes requests and calls again")

    page.click("text=Sign out")
    page.wait_for_selector("text=Read-only")
    page.goto(f"{page.url}backends/of?name=beta")
    assert page.locator(".steer").count() == 0


def test_a_wrong_token_opens_nothing(chromium, dashboard):
    """A wrong token is told so, beside the field."""
    page = chromium.new_context().new_page()
    page.goto(f"{dashboard.url}/login")
    page.fill("input[name=token]", "not-the-token-at-all")
    page.click("button")
    page.wait_for_selector("[role=alert] >> text=not the token")
    page.context.close()


def test_the_scheme_can_be_chosen(tab):
    """The switch goes over the system's scheme, on every page, and charts are drawn again in its colours."""
    page = tab(scheme="light").open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("[data-theme-switch]")
    dark = page.evaluate(ground)
    assert dark != light

    page.goto(f"{page.url}costs")
    assert page.evaluate(ground) == dark


def test_it_says_when_the_connection_is_lost_and_comes_back(chromium, fleet):
    """When the server goes away the page says since when; when it is back, the page lives on by itself."""
    first = Dashboard(launch(fleet))
    page = chromium.new_context().new_page()
    page.goto(first.url)
    page.wait_for_timeout(1_500)
    assert page.is_hidden("#connection")

    first.running.stop()
    page.wait_for_selector("#connection:visible", timeout=10_000)
    assert re.match(r"Connection lost since \d\d:\d\d:\d\d\.", page.inner_text("#connection"))
    assert page.locator("h1").inner_text().startswith("Overview")

    second = fleet.launch("dashboard", "optimizer_ops", "dashboard", "--port", str(first.port))
    Dashboard(second)
    page.wait_for_selector("#connection", state="hidden", timeout=15_000)
    before = page.locator(".tile .value").first.inner_text()
    ask(fleet, "Is it back?")
    until(page, f"document.querySelector('.tile .value').innerText !== {json.dumps(before)}")
    page.context.close()
    second.stop()


def test_it_is_used_by_keyboard(tab):
    """The first tab leads past the navigation, the others through it; what has the focus is to be seen."""
    page = tab().open("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").strip() == "Overview"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/agents")
