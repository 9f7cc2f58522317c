"""A bad backend raises an alert, which is told once, and cleared once, whatever becomes of the recorder."""

import asyncio
import sqlite3

import pytest
from tests.support.inboxes import mail_server, web_server
from tests.support.stack import START_S, wait_until
from tests.support.tap import Tap

from optimizer_client import AsyncOptimizer
from optimizer_wire.errors import OptimizerError
from optimizer_wire.topology import Names

SETTINGS = """
[alerts]
window_s = 5
least_requests = 5
for_s = 0.5
clear_s = 3
{more}
[[alerts.sinks]]
kind = "webhook"
url_env = "HOOK"
[[alerts.sinks]]
kind = "email"
host = "127.0.0.1"
port = {port}
security = "none"
from = "optimizer@example.org"
to = ["night@example.org"]
[retries]
share = 1
[waits]
retry_s = []
"""

TOLD = "select count(*) from notices where sent is not null"


@pytest.fixture
def inboxes():
    """A web server and a mail server."""
    with web_server() as hook, mail_server() as box:
        yield hook, box


@pytest.fixture
def fleet(stack, amqp_cleanup, inboxes):
    """A deployment with a backend, and alerts that are raised and cleared within seconds."""
    hook, box = inboxes
    amqp_cleanup.queues.add(Names(stack.prefix).recorder)
    stack.extra = SETTINGS.format(port=box.port, more="")
    stack.alpha = stack.simulate("alpha", breaker={"failures": 1000})
    stack.start()
    stack.environ = {"HOOK": hook.url}
    stack.recorder = recorder(stack)
    return stack


def recorder(stack):
    """A recorder that is ready."""
    started = stack.launch("recorder", "optimizer_ops", "recorder", environment=stack.environ)
    wait_until(lambda: '"event": "ready"' in started.text(), "the recorder", START_S)
    return started


async def ask(stack, name, count):
    """Ask different questions; what fails is what the test is about."""
    async with AsyncOptimizer("agent", url=stack.amqp_url, prefix=stack.prefix) as client:

        async def one(number):
            try:
                await client.chat(f"{name} {number}", timeout=20)
            except OptimizerError:
                return 1
            return 0

        return sum(await asyncio.gather(*(one(number) for number in range(count))))


def degraded(hook):
    """What the webhook was told of the success rate, in order."""
    told = [each for body in hook.bodies for each in body["alerts"]]
    return [each["what"] for each in told if each["name"] == "optimizer.degraded"]


def rows(stack, what):
    """The rows of a query of the history."""
    with sqlite3.connect(stack.folder / "history.db") as history:
        return history.execute(what).fetchall()


def break_it(stack):
    """Let the backend fail, and agents notice."""
    stack.alpha.control(fail_rate=1.0, fail_with=[503])
    assert asyncio.run(ask(stack, "bad", 12)) == 12


def test_raised_and_cleared_once(fleet, inboxes):
    """Alert event, webhook and mail come once when the backend is bad, and once when it is well again."""
    hook, box = inboxes
    with Tap(fleet.amqp_url, fleet.prefix) as tap:
        asyncio.run(ask(fleet, "good", 12))
        break_it(fleet)
        wait_until(lambda: degraded(hook) and box.mails, "webhook and mail", 30)
        raised = tap.event("optimizer.alert").fields
        fleet.alpha.control(fail_rate=0.0)
        asyncio.run(ask(fleet, "well", 12))
        wait_until(lambda: len(box.mails) > 1 and len(degraded(hook)) > 1, "the end of it", 30)
        cleared = tap.event("optimizer.alert").fields

    assert degraded(hook) == ["raised", "cleared"]
    assert [mail["Subject"].partition("] ")[2] for mail in box.mails] == [
        "critical: degraded of success_rate",
        "cleared: degraded of success_rate",
    ]
    assert (raised["alert"], raised["outcome"], raised["severity"]) == ("optimizer.degraded", "raised", "critical")
    assert (cleared["alert"], cleared["outcome"]) == ("optimizer.degraded", "cleared")
    assert rows(fleet, "select name, subject, until is null from alerts") == [("optimizer.degraded", "success_rate", 0)]
    assert hook.url not in fleet.recorder.text()
    assert "s3cret" not in fleet.recorder.text()


@pytest.mark.slow
def test_recorder_killed(fleet, inboxes):
    """A recorder that is killed while an alert is open tells it neither twice nor never; its successor clears it."""
    hook, box = inboxes
    hook.status = 503
    break_it(fleet)
    wait_until(lambda: box.mails, "the mail", 30)
    wait_until(lambda: rows(fleet, TOLD) == [(2,)], "the note of it")
    fleet.recorder.kill()
    # What could not be told yet is told by the next one, which learns of it from the history.
    hook.status = 200
    fleet.recorder = recorder(fleet)
    wait_until(lambda: degraded(hook), "the webhook", 40)
    # Killed before it has noted that it told, it would have to tell again.
    wait_until(lambda: rows(fleet, TOLD) == [(3,)], "the note of it")
    fleet.recorder.kill()
    fleet.alpha.control(fail_rate=0.0)
    asyncio.run(ask(fleet, "well", 12))
    fleet.recorder = recorder(fleet)
    wait_until(lambda: len(degraded(hook)) > 1 and len(box.mails) > 1, "the end of it", 60)

    assert degraded(hook) == ["raised", "cleared"]
    assert len(box.mails) == 2
    wait_until(lambda: rows(fleet, TOLD) == [(6,)], "the note of it")
    assert fleet.recorder.stop() == 0
    assert rows(fleet, "select count(*) from alerts where name = 'optimizer.degraded'") == [(1,)]
    assert rows(fleet, "select count(*) from notices where sent is null and not given_up") == [(0,)]
