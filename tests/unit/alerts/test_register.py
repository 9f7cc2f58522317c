"""Alerts, notices and silences in the history; who watches; and how notices are brought to a sink."""

import asyncio
import time

import structlog

from optimizer_config.alert_settings import AlertSettings, CommandSink
from optimizer_config.model import Config
from optimizer_ops.alerts import delivery as delivering
from optimizer_ops.alerts import register
from optimizer_ops.alerts.delivery import Delivery
from optimizer_ops.alerts.engine import Change
from optimizer_ops.alerts.notices import notices_of
from optimizer_ops.alerts.sinks.sink import NotTold, PartlyTold
from optimizer_ops.alerts.watch import Watch
from optimizer_ops.history.database import reading, writing
from optimizer_ops.history.tables import happenings, notices
from optimizer_ops.history.views import AlertRow
from optimizer_ops.live.status import LiveStatus, Service


def alert(number=1, until=None, since=1_000.0, severity="warning"):
    return AlertRow(
        id=f"a{number}",
        name="optimizer.rate_limit",
        subject=f"s{number}",
        severity=severity,
        since=since,
        until=until,
        value=1.0,
        threshold=None,
        message="m",
    )


def write(database, *changes, now=1_000.0, sinks=(("mail", "info"),)):
    with writing(database) as connection:
        register.write(connection, changes, list(notices_of(changes, sinks, None, now)))


def change(what="raised", told=True, **more):
    return Change(what=what, alert=alert(**more), told=told)


def waiting(database, sink="mail", now=1e12):
    with reading(database) as connection:
        return register.waiting(connection, sink, now)


def test_what_a_restart_must_know(database):
    """Open alerts and those of the last hour come back, with when people (not only events) were last told."""
    now = 10_000.0
    write(database, change(number=1), now=1_500.0)
    write(database, change(number=2, told=False), now=1_600.0)
    write(database, change("cleared", number=3, until=2_000.0), now=2_000.0)
    write(database, change("cleared", number=4, since=9_000.0, until=9_500.0), now=9_500.0)
    with reading(database) as connection:
        past = register.past(connection, now)

    assert {each.alert.id: (each.alert.until, each.told) for each in past} == {
        "a1": (None, 1_500.0),
        "a2": (None, None),
        "a4": (9_500.0, 9_500.0),
    }


def test_waiting(database):
    """A sink gets what is due, and with it what waits of the same alerts; what was told or given up is over."""
    write(database, change(number=1), now=100.0)
    write(database, change(number=2), now=101.0)
    with writing(database) as connection:
        connection.execute(notices.update().where(notices.c.alert_id == "a1").values(due=9_000.0))
    write(database, change("escalated", number=1), now=200.0)

    assert [n.what for n in waiting(database, now=150.0) if n.alert_id == "a1"] == []
    assert [(n.alert_id, n.what) for n in waiting(database, now=200.0)] == [
        ("a1", "raised"),
        ("a2", "raised"),
        ("a1", "escalated"),
    ]
    one, two, three = waiting(database)
    with writing(database) as connection:
        register.told(connection, [one.id], 300.0)
        register.failed(connection, [two.id], "away", give_up=False)
        register.failed(connection, [three.id], "away", give_up=True)
    (left,) = waiting(database)
    assert (left.id, left.attempts, left.trouble) == (two.id, 1, "away")
    with reading(database) as connection:
        assert [(n.id, n.given_up) for n in register.troubles(connection, 0.0)] == [(two.id, False), (three.id, True)]


def test_sinks_that_are_gone(database):
    """What is for a sink that is not configured any more is given up; what is old is forgotten."""
    write(database, change(number=1), now=100.0)
    write(database, change(number=2), now=1e7)
    with writing(database) as connection:
        register.drop(connection, ["event"], 1e7)

    assert waiting(database) == []
    assert [n.alert_id for n in waiting(database, "event")] == ["a2"]


def test_silences(database):
    """A silence holds until its end, and can be ended before."""
    with writing(database) as connection:
        register.silence(connection, "a", 200.0)
        register.silence(connection, "b", 300.0)
        register.silence(connection, "b", 100.0)
    with reading(database) as connection:
        assert register.silenced(connection, 150.0) == {"a": 200.0}
        assert register.silenced(connection, 200.0) == {}


def test_lease(database):
    """One of several watches, until it says that it leaves, or has not said that it stays."""

    def take(holder, now):
        with writing(database) as connection:
            return register.take_lease(connection, holder, now, now + 30)

    assert [take("a", 0), take("b", 29), take("a", 29), take("b", 58), take("b", 59), take("a", 60)] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    with writing(database) as connection:
        register.leave_lease(connection, "a")
        assert not register.take_lease(connection, "a", 60, 90)
        register.leave_lease(connection, "b")
        assert register.take_lease(connection, "a", 60, 90)


def test_a_lease_of_a_clock_that_was_ahead(database):
    """Who took the lease by a clock that was a day ahead, and is gone, keeps nobody from watching."""
    with writing(database) as connection:
        register.take_lease(connection, "a", 86_400, 86_430)

        assert register.take_lease(connection, "b", 0, 30)


class Sink:
    """Fails as often as it is told."""

    def __init__(self, *errors):
        self.errors, self.told, self.tried = list(errors), [], 0

    async def tell(self, notices):
        self.tried += 1
        if self.errors:
            error = self.errors.pop(0)
            raise error
        self.told.append([notice.id for notice in notices])


async def deliver(database, sink, until, *, may=True):
    """Run the delivery of a sink until something holds."""
    task = asyncio.ensure_future(Delivery("mail", sink.tell, 1.0, database, lambda: may, structlog.get_logger()).run())
    try:
        async with asyncio.timeout(10):
            while not until():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_told_once(database, monkeypatch):
    """What could not be told is told again, with what came since, in one message; and then never again."""
    monkeypatch.setattr(delivering, "FIRST_PAUSE_S", 0.05)
    write(database, change(number=1), change(number=2), now=time.time())
    sink = Sink(NotTold("It is away."), RuntimeError("a fault"), TimeoutError())
    await deliver(database, sink, lambda: not waiting(database))
    again = Sink()
    await deliver(database, again, lambda: True)

    assert (sink.tried, len(sink.told), len(sink.told[0]), again.tried) == (4, 1, 2, 0)


async def test_partly_told(database):
    """What was told to some is not told again: they would hear it twice."""
    write(database, change(), now=time.time())
    sink = Sink(PartlyTold("One is unknown."))
    await deliver(database, sink, lambda: not waiting(database))

    assert sink.tried == 1


async def test_given_up(database, monkeypatch):
    """What could not be told for a day is given up, and shown."""
    monkeypatch.setattr(delivering, "FIRST_PAUSE_S", 0.05)
    write(database, change(), now=time.time() - 90_000)
    await deliver(database, Sink(NotTold("It is away.")), lambda: not waiting(database))

    with reading(database) as connection:
        assert [(n.trouble, n.given_up) for n in register.troubles(connection, 0.0)] == [("It is away.", True)]


async def test_who_does_not_watch_does_not_tell(database):
    """A recorder without the lease tells nothing."""
    write(database, change(), now=time.time())
    sink, end = Sink(), time.monotonic() + 0.3
    await deliver(database, sink, lambda: time.monotonic() > end, may=False)

    assert sink.tried == 0


def live():
    up = [Service(name=name, url="", there=True) for name in ("RabbitMQ", "Redis")]
    return LiveStatus(at=time.time(), prefix="p", rabbitmq=up[0], redis=up[1], backends=[], queues=[], coordinators=1)


async def test_watch(database):
    """A dead letter is noticed, written down and to be told once, by a successor too; it knows what was open."""
    settings = AlertSettings(for_s=0.0, clear_s=300.0, sinks=(CommandSink(name="mail", argv=("true",)),))
    config = Config(alerts=settings)

    async def look():
        return live()

    watch = Watch(config, database, look)
    await watch.restore()
    assert not await watch.look()
    row = {"id": "h", "at": time.time(), "type": "optimizer.dead", "source": "s"}
    with writing(database) as connection:
        connection.execute(happenings.insert(), row)
    assert await watch.look()
    assert not await watch.look()
    successor = Watch(config, database, look)
    await successor.restore()
    assert not await successor.look()

    assert [(n.alert.name, n.what) for n in waiting(database)] == [("optimizer.dead", "raised")]
    assert [(n.alert.name, n.what) for n in waiting(database, "event")] == [("optimizer.dead", "raised")]
