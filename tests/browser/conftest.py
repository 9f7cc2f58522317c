"""A real headless Chromium, a fleet with a history, and its dashboard."""

import os
import shutil
import time

import pytest
from tests.support.dashboard import Dashboard, launch
from tests.support.history_events import seed
from tests.support.stack import wait_until
from tests.support.tap import shared_stack

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium():
    """A browser that runs without a screen."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        end = pytest.fail if os.environ.get("CI") else pytest.skip
        end("there is no chromium: make test-browser installs it (Debian, as root)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def fleet(tmp_path_factory, amqp_url, redis_url):
    """A simulated backend, its worker, a coordinator, a recorder, and nine days of history."""
    with shared_stack(tmp_path_factory.mktemp("fleet"), amqp_url, redis_url) as stack:
        for name in ("alpha", "beta"):
            stack.simulate(name, limits={"rpm": 600})
        stack.configure()
        seed(stack.environment()["OPTIMIZER_HISTORY_URL"], time.time())
        stack.start()
        recorder = stack.launch("recorder", "optimizer_ops", "recorder")
        stack.ready(recorder)
        yield stack


@pytest.fixture(scope="session")
def dashboard(fleet):
    """Its dashboard, with a token."""
    dashboard = Dashboard(launch(fleet))
    wait_until(lambda: "heard" in dashboard.ask("/health-and-alerts").text, "the event hub")
    return dashboard
