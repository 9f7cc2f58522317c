"""The life of a process: session after session until it is asked to stop."""

import asyncio
import os
import signal
import time

import pytest

from optimizer_service import lifetime
from optimizer_service.lifetime import every, first_of, keep_session, run, stop_on_signals
from optimizer_service.logs import configure_logs
from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted, TopologyDiffers


class Log:
    """Notes warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, event, **fields):
        self.warnings.append((event, fields))


class FakeSession:
    """A session that can be opened as often as `failures` allows."""

    failures = 0
    opened = 0
    refused = None

    @classmethod
    async def open(cls, url, name):
        cls.opened += 1
        if cls.opened <= cls.failures:
            raise BrokerUnavailable("nobody there")
        return cls()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


@pytest.fixture
def fake(monkeypatch):
    """Sessions without a broker, and pauses of no length, whose attempts are noted."""
    session = type("Fresh", (FakeSession,), {"pauses": []})
    monkeypatch.setattr(lifetime, "LASTING_S", 0.05)
    monkeypatch.setattr(lifetime, "Session", session)
    monkeypatch.setattr(lifetime, "backoff_s", lambda attempt, **_: session.pauses.append(attempt) or 0.0)
    return session


async def test_keeps_trying(fake):
    """While RabbitMQ is away it is tried again with growing pauses; then the work goes on, and pauses begin anew."""
    fake.failures = 3
    log, stop, served = Log(), asyncio.Event(), []

    async def serve(session):
        served.append(session)
        await asyncio.sleep(0.1)
        if len(served) == 3:
            stop.set()

    await keep_session("amqp://x", "n", serve, stop, log)

    assert len(served) == 3
    assert fake.pauses == [0, 1, 2, 0, 0]
    assert [event for event, _ in log.warnings] == ["rabbitmq unavailable"] * 3 + ["connection lost"] * 2


async def test_a_broker_that_accepts_and_refuses(fake):
    """Sessions that do not last are no success: the pauses between them go on growing."""
    stop, served = asyncio.Event(), []

    async def serve(session):
        served.append(session)
        if len(served) == 4:
            stop.set()
        raise BrokerUnavailable("refused")

    await keep_session("amqp://x", "n", serve, stop, Log())

    assert fake.pauses == [0, 1, 2]


async def test_lost_in_the_middle(fake):
    """A connection that breaks while serving is opened again."""
    log, stop, served = Log(), asyncio.Event(), []

    async def serve(session):
        served.append(session)
        if len(served) == 2:
            stop.set()
        raise BrokerUnavailable("broke")

    await keep_session("amqp://x", "n", serve, stop, log)

    assert len(served) == 2


async def test_a_wrong_topology_is_final(fake):
    """Another error than an unreachable broker is not tried again."""

    async def serve(session):
        raise TopologyDiffers("differs")

    with pytest.raises(TopologyDiffers):
        await keep_session("amqp://x", "n", serve, asyncio.Event(), Log())


async def test_stop_ends_a_pause(fake, monkeypatch):
    """Being asked to stop ends a pause at once."""
    monkeypatch.setattr(lifetime, "backoff_s", lambda attempt, **_: 60.0)
    fake.failures = 1
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)

    async with asyncio.timeout(5):
        await keep_session("amqp://x", "n", None, stop, Log())


async def test_first_of():
    """The first event that is set ends the wait."""
    one, other = asyncio.Event(), asyncio.Event()
    other.set()

    async with asyncio.timeout(5):
        await first_of(one, other)


async def test_every():
    """Work is done again and again until cancelled."""
    done = []

    async def work():
        done.append(time.monotonic())
        if len(done) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await every(0.001, work)
    assert len(done) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(number):
    """SIGTERM and SIGINT ask the process to stop, and its exit code is what it returns."""

    async def main():
        stop = stop_on_signals()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stop.wait()
        return 7

    assert run(main()) == 7


@pytest.mark.parametrize("ends", ["returns", "breaks"])
async def test_a_refusal_is_final(fake, ends):
    """If the broker refuses something to the user, that is the end, however the work on the session noticed it."""

    async def serve(session):
        session.refused = NotPermitted(OSError("ACCESS_REFUSED - access to exchange 'x' refused for user 'u'"))
        if ends == "breaks":
            raise BrokerUnavailable("The channel is closed.")

    with pytest.raises(NotPermitted, match="refused for user 'u'") as caught:
        await lifetime.keep_session("amqp://x", "t", serve, asyncio.Event(), Log())
    assert fake.opened == 1
    assert (lifetime.exit_code_of(caught.value), lifetime.what_to_do(caught.value)) == (77, str(caught.value))


async def test_background_work_goes_on_after_a_fault(capsys):
    """A fault in what is done again and again is logged once with its traceback, and does not end it."""
    configure_logs(as_json=True)
    done = []

    async def work():
        done.append(1)
        if len(done) < 4:
            raise ValueError("this time not")

    task = asyncio.ensure_future(every(0.001, work))
    while len(done) < 6:
        await asyncio.sleep(0.001)
    task.cancel()

    told = capsys.readouterr().err
    assert told.count("background work failed") == 1
    assert "ValueError" in told
