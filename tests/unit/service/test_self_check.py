"""The self-check's counting, and what it does on sessions that misbehave."""

import asyncio

import pytest

from optimizer_service.queue_check import Unanswered
from optimizer_service.self_check import MISSES, Pings, SelfCheck
from optimizer_wire.topology import Names


def test_pings_that_come_back():
    """As long as the last ping comes back in time, nothing is missing."""
    pings = Pings()
    for _ in range(5):
        pings.came(pings.send())
        assert not pings.judge(excused=False)
    assert pings.missed == 0


def test_two_in_a_row():
    """One missing ping is none; two in a row are too many, and one that comes late in between is a fresh start."""
    pings = Pings()
    first = pings.send()
    assert not pings.judge(excused=False)
    assert pings.judge(excused=False) is (MISSES == 2)
    pings.came(first)
    assert not pings.judge(excused=False)
    assert pings.missed == 0


def test_an_alarm_excuses():
    """While the broker says that it takes no messages, none can come back, and none is missed."""
    pings = Pings()
    for _ in range(5):
        pings.send()
        assert not pings.judge(excused=True)


class Message:
    """A ping as it comes back."""

    def __init__(self, body):
        self.body = body


class Broker:
    """A session and its channel in one, that bring messages back or not."""

    def __init__(self):
        self.lost = asyncio.Event()
        self.blocked = None
        self.eats = False
        self.with_consumer = {"work"}
        self.sent = 0
        self.taken_over = False

    async def declare_queue(self, queue):
        self.queue = queue

    async def consume(self, _queue, deliver, **_):
        self.deliver = deliver

    def publish(self, _exchange, key, body, _properties):
        assert key == self.queue.name
        self.sent += 1
        if not self.eats:
            self.deliver(Message(body))

    def publish_watched(self, _exchange, key, _body, _properties, told):
        told(None)
        if not self.taken_over:
            self.on_delivery(key)

    async def consumers(self, queue):
        return int(queue in self.with_consumer)


class Log:
    """Notes warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, event, **fields):
        self.warnings.append((event, fields))


@pytest.fixture
async def broker(monkeypatch):
    monkeypatch.setattr("optimizer_service.self_check.SECOND_LOOK_S", 0.01)
    return Broker()


async def checked(broker, log):
    check = SelfCheck(broker, broker, broker, Names("t"), lambda: ["work"], 0.02, log)
    await check.start()
    return check


async def test_deliveries_are_eaten(broker):
    """When nothing comes in any more the session ends, with a sentence why the process is to leave."""
    log = Log()
    check = await checked(broker, log)
    broker.eats = True
    await asyncio.wait_for(check.watch(), 5)

    assert broker.lost.is_set()
    assert "no message of this process to itself has come back" in str(check.failure)
    assert broker.sent == MISSES


async def test_consumer_gone(broker):
    """A consumed queue without a consumer ends the session, and not the process."""
    log = Log()
    check = await checked(broker, log)
    broker.with_consumer.clear()
    await asyncio.wait_for(check.watch(), 5)

    assert broker.lost.is_set()
    assert check.failure is None
    assert log.warnings == [("consumers are gone", {"queues": ["work"], "then": "connecting again"})]


async def test_consumer_that_gets_nothing(broker, monkeypatch):
    """A queue that takes pings and gives nothing to its consumer ends the session, and not the process."""
    monkeypatch.setattr("optimizer_service.queue_check.SHORTEST_S", 0.01)
    log = Log()
    check = await checked(broker, log)
    broker.taken_over = True
    await asyncio.wait_for(check.watch(), 5)

    assert broker.lost.is_set()
    assert check.failure is None
    assert [event for event, _ in log.warnings] == ["a queue is lost"]


def test_everybody_has_a_turn():
    """Who got nothing is only deaf once the queue has had more pings than it has consumers; a delivery clears it."""
    pings = Unanswered()
    for count in range(1, 5):
        pings.confirmed("q")
        assert pings.deaf("q", 3) is (count > 3)
    assert not pings.deaf("other", 0)
    pings.heard("q")
    assert not pings.suspicious("q")
    pings.confirmed("q")
    assert not pings.deaf("q", 0)


async def test_all_is_well(broker):
    """Pings that come back and consumers that are there end nothing; nor do missing pings under an alarm."""
    check = await checked(broker, Log())
    watching = asyncio.ensure_future(check.watch())
    await asyncio.sleep(0.2)
    broker.blocked, broker.eats = "low on memory", True
    before = broker.sent
    while broker.sent < before + 2 * MISSES:
        await asyncio.sleep(0.01)
    watching.cancel()

    assert not broker.lost.is_set()
    assert check.failure is None
