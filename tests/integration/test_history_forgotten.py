"""A tenant is taken out of the history, on SQLite and on a real PostgreSQL."""

import threading
import time

import pytest
import sqlalchemy as sa
from tests.support.recorded import NOON, Fleet, assert_sums_hold, rows

from optimizer_ops.forget.history import forget_history
from optimizer_ops.history import tables
from optimizer_ops.history.database import DatabaseUnavailable
from optimizer_ops.recorder import erasure
from optimizer_ops.recorder.erasure import erase, found
from optimizer_ops.recorder.retention import DAY_S, Retention
from optimizer_ops.recorder.store import HistoryStore
from optimizer_service.logs import logger
from optimizer_wire import events
from optimizer_wire.messages import Timings

OTHER = {"tenant": "other", "agent": "writer", "task": "general"}
LEVELS = ((tables.hourly, tables.hourly_latency), (tables.daily, tables.daily_latency))


@pytest.fixture
def store(engine):
    """Writes into the history."""
    return HistoryStore(engine, "here")


def asked_by_two(fleet):
    """Requests of two tenants, one call that both share, errors, a hit."""
    return [
        fleet.asked("a1", "f.1.1", tags={"team": "acme"}),
        fleet.joined("o1", "f.1.1", **OTHER),
        fleet.started("a1", "f.1.1", "c1"),
        fleet.finished("a1", "f.1.1", "c1"),
        fleet.hit("a2"),
        fleet.hit("o2", **OTHER),
        fleet.asked("o3", "g.1.1", **OTHER),
        fleet.started("o3", "g.1.1", "c2", **OTHER),
        fleet.finished("o3", "g.1.1", "c2", **OTHER),
        fleet.error("a3", "invalid_request", source="coordinator/a"),
        fleet.tell(events.QUOTA, "coordinator/a", request_id="a4", message="acme waits"),
        fleet.tell(events.DEAD, "coordinator/a", request_id="a1", tenant=None, agent=None, message="quality's"),
    ]


def alert(id_, subject, name="optimizer.budget.spend"):
    """An open alert, and what is to be told of it."""
    row = {"id": id_, "name": name, "subject": subject, "severity": "info", "since": NOON, "message": subject}
    notice = {"id": f"n-{id_}", "alert_id": id_, "sink": "mail", "what": "raised", "at": NOON, "due": NOON}
    return row, notice | {"alert": {"subject": subject}}


def put_alerts(engine, *pairs):
    """Write alerts as the watch does."""
    with engine.begin() as connection:
        connection.execute(sa.insert(tables.alerts), [row for row, _ in pairs])
        connection.execute(sa.insert(tables.notices), [notice for _, notice in pairs])


def everything(engine):
    """All that is in the history but the list of the forgotten, as one text."""
    with engine.connect() as connection:
        named = [table for table in tables.metadata.sorted_tables if table is not tables.forgotten]
        return repr([[tuple(row) for row in connection.execute(sa.select(table))] for table in named])


def test_one_goes_and_the_other_stays(engine, store):
    """No row, sum or alert names the tenant or its agents any more, and those of the other one are as they were."""
    store.record(asked_by_two(fleet := Fleet()), 0)
    put_alerts(engine, alert("1", "tenant acme day"), alert("2", "tenant acme corp day"), alert("3", "groq"))
    said = fleet.tell(events.ALERT, "recorder/a", agent=None, tenant=None, message="The tenant acme spent 51 % of it.")
    store.record([said], 0)
    before = {table.name: rows(engine, table) for table in (tables.requests, tables.calls)}
    assert found(engine, "acme") == {
        "requests": 3,
        "calls": 1,
        "happenings": 2,
        "hourly": 2,
        "daily": 2,
        "agents": 1,
        "alerts": 1,
    }

    gone = list(erase(engine, "acme", fleet.now))

    assert ("requests", 3) in gone
    assert found(engine, "acme") == dict.fromkeys(found(engine, "acme"), 0)
    assert rows(engine, tables.requests) == {id_: before["requests"][id_] for id_ in ("o1", "o2", "o3")}
    assert rows(engine, tables.calls) == {"c2": before["calls"]["c2"]}
    assert set(rows(engine, tables.alerts)) == {"2", "3"}
    assert set(rows(engine, tables.notices)) == {"n-2", "n-3"}
    remains = everything(engine).replace("acme corp", "")
    assert not [word for word in ("acme", "quality", "a1", "code") if f"'{word}" in remains or f" {word}" in remains]
    assert_sums_hold(engine)
    assert next(iter(erase(engine, "acme", fleet.now))) != ("requests", 3)


def test_what_the_queue_still_held_gets_no_name(engine, store):
    """Events of before the moment end what others wait for and name nobody; what was asked afterwards is new."""
    fleet = Fleet()
    batch = asked_by_two(fleet)[:-1]
    running = [
        fleet.asked("a5", "h.1.1", tags={"team": "acme"}),
        fleet.started("a5", "h.1.1", "c5"),
        fleet.joined("o5", "h.1.1", **OTHER),
    ]
    store.record(running, 0)
    list(erase(engine, "acme", fleet.now))

    new, _ = store.record(batch, 0)
    fleet.now += 1
    took_ms = 1_500.0
    store.record([fleet.finished("a5", "h.1.1", "c5", timings=Timings(0.0, took_ms, took_ms))], 0)

    assert len(new) == len(batch)
    assert "acme" not in everything(engine)
    assert "quality" not in everything(engine)
    requests = rows(engine, tables.requests)
    assert {id_: row["outcome"] for id_, row in requests.items()} == dict.fromkeys(("o1", "o2", "o3", "o5"), "answered")
    assert requests["o5"]["saved_nano"] == 4_000_000
    assert {row["tenant"] for row in rows(engine, tables.calls).values()} == {"", "other"}
    assert_sums_hold(engine)

    fleet.now += 10
    store.record([fleet.hit("a9")], 0)
    assert rows(engine, tables.requests)["a9"]["tenant"] == "acme"
    assert rows(engine, tables.agents)["acme"]["first_seen"] == fleet.now


async def test_sums_whose_rows_have_gone_go_too(engine, store):
    """Sums by hour and day of the time before the rows lose the tenant, and durations of all lose what it had."""
    fleet = Fleet()
    fleet.now = time.time() - 50 * DAY_S
    store.record(asked_by_two(fleet), 0)
    await Retention(engine, 30, 730, logger("recorder")).run()
    assert rows(engine, tables.requests) == {}

    list(erase(engine, "acme", time.time()))

    with engine.connect() as connection:
        for sums, latencies in LEVELS:
            assert {row.tenant for row in connection.execute(sa.select(sums))} == {"other"}
            named = {(row.by, row.name) for row in connection.execute(sa.select(latencies))}
            assert {name for by, name in named if by in ("tenant", "agent", "task")} == {"other", "writer", "general"}
            of_all = sa.select(sa.func.sum(latencies.c.requests)).where(latencies.c.by == "")
            assert connection.execute(of_all).scalar_one() == 3


def test_a_recorder_writes_meanwhile(engine, store, monkeypatch):
    """Nothing of what a recorder writes while a tenant is taken out is lost or comes back, and the sums hold."""
    monkeypatch.setattr(erasure, "STEP_ROWS", 7)
    fleet = Fleet()
    store.record([fleet.hit(f"a{number}") for number in range(60)], 0)
    late = [fleet.hit(f"late{number}") for number in range(20)]
    until = fleet.now
    fresh = [fleet.hit(f"o{number}", **OTHER) for number in range(60)]
    steps = erase(engine, "acme", until)
    next(steps)

    def record():
        for old, new in zip(late * 3, fresh, strict=True):
            store.record([old, new], 0)

    writer = threading.Thread(target=record)
    writer.start()
    gone = sum(count for table, count in steps if table == "requests")
    writer.join()

    assert gone == 60 - 7
    assert set(rows(engine, tables.requests)) == {f"o{number}" for number in range(60)}
    assert_sums_hold(engine)


async def test_an_alert_that_is_cleared_afterwards_goes(engine):
    """What the watch still writes of the tenant's alert is taken out with the next look at what is old."""
    list(erase(engine, "acme", NOON + 60))
    put_alerts(engine, alert("1", "tenant acme month"), alert("2", "tenant other month"))

    await Retention(engine, 10_000, 10_000, logger("recorder")).run()

    assert set(rows(engine, tables.alerts)) == {"2"}


def test_where_there_is_no_history(tmp_path, engine):
    """Nothing to forget is no fault, unless a recorder has kept a history that is not here."""
    nowhere = f"sqlite:///{tmp_path}/none/history.db"
    for dry_run in (True, False):
        assert forget_history(nowhere, "acme", dry_run=dry_run, kept=False) == {}
        with pytest.raises(DatabaseUnavailable, match="run this where the recorder runs"):
            forget_history(nowhere, "acme", dry_run=dry_run, kept=True)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
    url = engine.url.render_as_string(hide_password=False)
    assert forget_history(url, "acme", dry_run=False, kept=False) == {}


def test_a_database_that_is_away(tmp_path):
    """An unreachable database is told as such: nothing can be said to be forgotten."""
    with pytest.raises(DatabaseUnavailable, match="cannot be used"):
        forget_history(f"postgresql+psycopg://nobody@/none?host={tmp_path}", "acme", dry_run=False, kept=False)
