"""What becomes of events in the history, on SQLite and on a real PostgreSQL."""

import io
import json
import random
import time

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from tests.support.recorded import NOON, Fleet, assert_sums_hold, rows

from optimizer_backends.prices import Prices
from optimizer_config.model import Backend
from optimizer_ops.history import tables
from optimizer_ops.history.database import (
    DatabaseUnavailable,
    WrongVersion,
    check_version,
    migrate,
    open_engine,
    reading,
)
from optimizer_ops.history.reader import History
from optimizer_ops.history.tables import NANO
from optimizer_ops.recorder.export import export
from optimizer_ops.recorder.reprice import Repriced, reprice
from optimizer_ops.recorder.retention import Retention
from optimizer_ops.recorder.store import HistoryStore
from optimizer_ops.recorder.writer import Writer
from optimizer_service.logs import logger
from optimizer_wire import events
from optimizer_wire.messages import Usage


@pytest.fixture
def store(engine):
    """Writes into the history."""
    return HistoryStore(engine, "here")


def told(row, *names):
    """Some fields of a row."""
    return tuple(row[name] for name in names)


def test_the_tables_are_as_the_code_has_them(engine):
    """The migrations make what `tables.py` says, twice is as good as once, and a reader takes it for its own."""
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    with reading(engine) as connection:
        check_version(connection)


def test_another_version_is_said_so(engine):
    """A reader and a recorder that meet newer tables say what to do instead of guessing."""
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongVersion, match="a newer optimizer made them"):
        migrate(engine)
    with reading(engine) as connection, pytest.raises(WrongVersion, match="version 9999"):
        check_version(connection)


def test_a_flight_ends_for_all_who_wait_in_it(engine, store):
    """The leader pays for the call, whoever joined saved as much, a hit what its answer once cost."""
    fleet = Fleet()
    batch = [
        fleet.asked("r1", "f.1.1", prompt_chars=12, tags={"team": "x"}),
        fleet.joined("r2", "f.1.1", agent="writer"),
        fleet.started("r1", "f.1.1", "c1"),
        fleet.finished("r1", "f.1.1", "c1"),
        fleet.hit("r3"),
    ]
    new, lost = store.record(batch, 7)

    assert ([event.id for event in new], lost) == ([event.id for event in batch], 0)
    requests, calls = rows(engine, tables.requests), rows(engine, tables.calls)
    fields = ("source", "outcome", "agent", "cost_nano", "saved_nano", "input_tokens", "backend")
    assert told(requests["r1"], *fields) == ("backend", "answered", "quality", 4_000_000, None, 100, "groq")
    assert told(requests["r2"], *fields) == ("collapsed", "answered", "writer", None, 4_000_000, 100, "groq")
    assert told(requests["r3"], *fields) == ("cache", "answered", "quality", None, 2_000_000, 7, "groq")
    assert told(requests["r1"], "flight", "tags", "prompt_chars", "total_ms") == ("f.1", {"team": "x"}, 12, 420.0)
    assert told(calls["c1"], "outcome", "cost_nano", "usage", "price_version", "worker") == (
        "answered",
        4_000_000,
        {"prompt_tokens": 100, "completion_tokens": 50},
        "p1",
        "worker/groq/1",
    )
    recorder = rows(engine, tables.recorder)[1]
    assert told(recorder, "recorded", "waiting", "lost", "newest") == (5, 7, 0, batch[-1].time)
    assert set(rows(engine, tables.agents)) == {"acme"}
    assert_sums_hold(engine)


def scenario(fleet):
    """Two flights with a retry, a failover, a hit, an error and a cancelled request."""
    return [
        fleet.asked("r1", "f.1.1"),
        fleet.joined("r2", "f.1.1"),
        fleet.started("r1", "f.1.1", "c1"),
        fleet.failed("r1", "f.1.1", "c1"),
        fleet.call(events.RETRY, "r1", "f.1.1", "c1", outcome="throttled"),
        fleet.started("r1", "f.1.2", "c2"),
        fleet.joined("r3", "f.1.2"),
        fleet.finished("r1", "f.1.2", "c2"),
        fleet.hit("r4"),
        fleet.asked("r5", "g.2.1"),
        fleet.joined("r6", "g.2.1"),
        fleet.error("r6", "cancelled", source="coordinator/b"),
        fleet.started("r5", "g.2.1", "c3"),
        fleet.failed("r5", "g.2.1", "c3", "invalid"),
        fleet.error("r5", "invalid_request", work_id="g.2.1", waiters=1),
        fleet.tell(events.WORKER_STOPPED, "worker/groq/1", agent=None, tenant=None, backend="groq"),
    ]


FATES = {
    "r1": ("backend", "answered"),
    "r2": ("collapsed", "answered"),
    "r3": ("collapsed", "answered"),
    "r4": ("cache", "answered"),
    "r5": ("backend", "invalid_request"),
    "r6": ("collapsed", "cancelled"),
}


@pytest.mark.parametrize("seed", range(6))
def test_no_order_and_no_repetition_changes_what_is_known(engine, store, seed):
    """However events are mixed, batched and delivered again, requests end alike, and sums are those of the rows."""
    dice, batch = random.Random(seed), scenario(Fleet())
    # Of each source in its order with seeds below 3, and in no order at all beyond.
    if seed < 3:
        sources = {event.source: [each for each in batch if each.source == event.source] for event in batch}
        shuffled = [sources[source].pop(0) for source in dice.sample([event.source for event in batch], len(batch))]
    else:
        shuffled = dice.sample(batch, len(batch))
    while shuffled:
        size = dice.randint(1, 5)
        part, shuffled = shuffled[:size], shuffled[size:]
        store.record(part, 0)
        assert_sums_hold(engine)
        if dice.random() < 0.5:
            assert store.record(part, 0) == ([], 0)
    assert store.record(batch, 0) == ([], 0)

    requests = rows(engine, tables.requests)
    assert {id_: told(row, "source", "outcome") for id_, row in requests.items()} == FATES
    assert {id_: row["saved_nano"] for id_, row in requests.items()} == {
        "r1": None,
        "r2": 4_000_000,
        "r3": 4_000_000,
        "r4": 2_000_000,
        "r5": None,
        "r6": None,
    }
    assert requests["r1"]["cost_nano"] == 4_000_000
    assert {id_: row["outcome"] for id_, row in rows(engine, tables.calls).items()} == {
        "c1": "throttled",
        "c2": "answered",
        "c3": "invalid",
    }
    assert {row["type"] for row in rows(engine, tables.happenings).values()} == {
        events.RETRY,
        events.ERROR,
        events.WORKER_STOPPED,
    }
    assert_sums_hold(engine)
    assert rows(engine, tables.recorder)[1]["recorded"] == len(batch)


def test_a_call_whose_worker_died_is_a_row_of_unknown_use(engine, store):
    """It counts as called, neither answered nor failed; who takes over tells of its own call."""
    fleet = Fleet()
    store.record([fleet.asked("r1", "f.1.1"), fleet.started("r1", "f.1.1", "c1")], 0)
    store.record([fleet.started("r1", "f.1.1", "c2", source="x"), fleet.finished("r1", "f.1.1", "c2")], 0)

    dead = rows(engine, tables.calls)["c1"]
    assert told(dead, "outcome", "input_tokens", "output_tokens", "cost_nano", "usage") == (None,) * 5
    (sums,) = [row for row in rows(engine, tables.hourly).values() if row["calls"]]
    assert told(sums, "calls", "calls_answered", "calls_failed", "input_tokens") == (2, 1, 0, 100)


def test_an_end_that_is_told_again_counts_once(engine, store):
    """Who takes over from a worker that died after its answer tells of it again, under the same id."""
    fleet = Fleet()
    store.record([fleet.asked("r1", "f.1.1"), fleet.started("r1", "f.1.1", "c1")], 0)
    store.record([fleet.finished("r1", "f.1.1", "c1"), fleet.finished("r1", "f.1.1", "c1", source="y")], 0)
    store.record([fleet.finished("r1", "f.1.1", "c1", cost=9.0)], 0)

    assert rows(engine, tables.calls)["c1"]["cost_nano"] == 4_000_000
    assert rows(engine, tables.requests)["r1"]["cost_nano"] == 4_000_000
    assert_sums_hold(engine)


def test_an_unknown_price_is_not_nothing(engine, store):
    """Where no price is known there is none, in no sum, and the call counts as unpriced."""
    fleet = Fleet()
    store.record([fleet.asked("r1", "f.1.1"), fleet.joined("r2", "f.1.1"), fleet.hit("r3", saved=None)], 0)
    store.record([fleet.finished("r1", "f.1.1", "c1", cost=None), fleet.started("r1", "f.1.1", "c1")], 0)

    assert rows(engine, tables.calls)["c1"]["cost_nano"] is None
    assert {row["saved_nano"] for row in rows(engine, tables.requests).values()} == {None}
    found = rows(engine, tables.hourly).values()
    assert (sum(row["unpriced"] for row in found), sum(row["cost_nano"] for row in found)) == (1, 0)


def test_the_error_of_one_is_not_that_of_its_flight(engine, store):
    """A request that was turned away ends alone; an error that names the flight ends it for all."""
    fleet = Fleet()
    store.record([fleet.asked("r1", "f.1.1"), fleet.joined("r2", "f.1.1"), fleet.joined("r3", "f.1.1")], 0)
    store.record([fleet.error("r2", "deadline_exceeded", source="coordinator/b")], 0)
    assert {id_: row["outcome"] for id_, row in rows(engine, tables.requests).items()} == {
        "r1": "open",
        "r2": "deadline_exceeded",
        "r3": "open",
    }
    store.record([fleet.error("r1", "internal", work_id="f.1.1")], 0)
    assert {id_: row["outcome"] for id_, row in rows(engine, tables.requests).items()} == {
        "r1": "internal",
        "r2": "deadline_exceeded",
        "r3": "internal",
    }
    assert_sums_hold(engine)


def test_who_gave_up_is_told_by_name(engine, store):
    """A call that nobody waits for ends its requests as late; one that says that it was cancelled is believed."""
    fleet = Fleet()
    gone = fleet.error("r1", "cancelled", source="coordinator/a")
    store.record([fleet.asked("r1", "f.1.1"), fleet.joined("r2", "f.1.1"), fleet.started("r1", "f.1.1", "c1")], 0)
    store.record([fleet.failed("r1", "f.1.1", "c1", "cancelled"), gone], 0)

    assert {id_: row["outcome"] for id_, row in rows(engine, tables.requests).items()} == {
        "r1": "cancelled",
        "r2": "deadline_exceeded",
    }


def test_what_was_taken_back_is_no_error(engine, store):
    """A cancelled request counts neither as answered nor as an error, and is no error of its agent."""
    fleet = Fleet()
    taken_back = fleet.error("r1", "cancelled", source="coordinator/a")
    store.record([taken_back, fleet.error("r2", "invalid_request", agent="writer")], 0)

    with engine.connect() as connection:
        counted = connection.execute(sa.select(tables.hourly)).mappings().all()
        agents = connection.execute(sa.select(tables.agents)).mappings().all()
    by_agent = {row["agent"]: (row["requests"], row["answered"], row["errors"]) for row in counted}
    assert by_agent == {"quality": (1, 0, 0), "writer": (1, 0, 1)}
    assert {row["agent"]: row["last_error_code"] for row in agents} == {"quality": None, "writer": "invalid_request"}
    history = History(engine)
    assert [row.id for row in history.requests(NOON - 60, None, failed=True)] == ["r2"]
    assert [row.id for row in history.requests(NOON - 60, None, outcome="cancelled")] == ["r1"]


def test_nobody_ends_anothers_request(engine, store):
    """An id of another tenant is another request; a message without a tenant was not understood and ends nothing."""
    fleet = Fleet()
    store.record([fleet.asked("r1", "f.1.1")], 0)
    store.record(
        [fleet.error("r1", "invalid_request", tenant="other"), fleet.error("r1", "invalid_request", tenant=None)], 0
    )
    store.record([fleet.error("r9", "invalid_request", tenant=None)], 0)

    assert {id_: row["outcome"] for id_, row in rows(engine, tables.requests).items()} == {"r1": "open"}
    assert len(rows(engine, tables.happenings)) == 3


def test_what_is_missing_is_counted(engine, store, monkeypatch):
    """A gap in the numbers counts as lost once nothing can fill it any more, of each source by itself."""
    fleet = Fleet()
    batch = [fleet.hit(f"r{number}") for number in range(6)]
    store.record([batch[0], batch[1], batch[4]], 0)
    assert rows(engine, tables.recorder)[1]["lost"] == 0
    store.record([batch[3]], 0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)

    assert store.settle(0) == 1
    assert rows(engine, tables.sources)["coordinator/a"]["lost"] == rows(engine, tables.recorder)[1]["lost"] == 1
    store.record([batch[2]], 0)
    assert rows(engine, tables.sources)["coordinator/a"]["lost"] == rows(engine, tables.recorder)[1]["lost"] == 0


async def test_what_no_row_can_hold_keeps_nothing_else_out(engine, store):
    """An event with a time that is none is left out and said so; its neighbours are written."""
    fleet = Fleet()
    batch = [fleet.hit(f"r{number}") for number in range(5)]
    batch[2] = msgspec.structs.replace(batch[2], time=float("nan"))

    new = await Writer(store, logger("test")).write(batch, lambda: False)

    assert [event.request_id for event in new] == ["r0", "r1", "r3", "r4"]
    assert set(rows(engine, tables.requests)) == {"r0", "r1", "r3", "r4"}


def test_hostile_values_are_made_to_fit(engine, store):
    """NUL, numbers beyond every column and very long texts do no harm."""
    fleet = Fleet()
    huge = Usage(2**63, 2**64, raw={"a": "\x00", "n": 2**64})
    store.record([fleet.asked("r1", "f.1.1", agent="a\x00b", tags={"k": "\x00"}), fleet.error("r2", "internal")], 0)
    store.record([fleet.finished("r1", "f.1.1", "c1", cost=1e300, usage=huge, message="m" * 100_000)], 0)

    assert rows(engine, tables.requests)["r1"]["agent"] == "ab"
    assert rows(engine, tables.calls)["c1"]["cost_nano"] > NANO
    assert len(rows(engine, tables.calls)["c1"]["message"]) == 500


async def test_what_is_old_goes_and_its_sums_stay(engine, store, monkeypatch):
    """Rows go after their days, sums after theirs; a request that nothing was heard of ends as unknown."""
    fleet = Fleet()
    store.record([*scenario(fleet), fleet.asked("open", "h.1.1")], 0)
    before = list(rows(engine, tables.hourly).values())
    now = NOON + 2 * 86_400
    monkeypatch.setattr(time, "time", lambda: now)

    await Retention(engine, 5, 10, logger("test")).run()
    assert told(rows(engine, tables.requests)["open"], "outcome", "ended") == ("unknown", None)
    assert len(rows(engine, tables.requests)) == 7
    assert_sums_hold(engine)

    now = NOON + 6 * 86_400
    await Retention(engine, 5, 10, logger("test")).run()
    assert not any(rows(engine, table) for table in (tables.requests, tables.calls, tables.happenings))
    assert list(rows(engine, tables.hourly).values()) == before

    now = NOON + 11 * 86_400
    await Retention(engine, 5, 10, logger("test")).run()
    assert not rows(engine, tables.hourly)
    assert not rows(engine, tables.hourly_latency)


def test_a_database_that_is_not_there_is_one_sentence(tmp_path):
    """A missing folder, a file that is no database, a server that does not answer: one sentence each, no password."""
    with pytest.raises(DatabaseUnavailable, match="There is no history yet: the folder"):
        open_engine(f"sqlite:///{tmp_path}/none/history.db")
    (tmp_path / "file.db").write_text("This is not a database, and long enough to be taken for one. " * 20)
    with pytest.raises(DatabaseUnavailable, match="is not a database, or is damaged"):
        migrate(open_engine(f"sqlite:///{tmp_path}/file.db"))
    with pytest.raises(DatabaseUnavailable) as caught:
        migrate(open_engine("postgresql+psycopg://me:secret@127.0.0.1:1/history"))
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_calls_are_priced_anew_with_what_hangs_on_them(engine, store, tmp_path):
    """A new price changes the call, what its leader paid and others saved, and the sums; none known changes nothing."""
    fleet = Fleet()
    store.record([fleet.asked("r1", "f.1.1"), fleet.joined("r2", "f.1.1"), fleet.hit("r3")], 0)
    store.record([fleet.finished("r1", "f.1.1", "c1", cost=None)], 0)
    store.record([fleet.asked("r4", "g.2.1"), fleet.finished("r4", "g.2.1", "c2", backend="gone")], 0)
    file = tmp_path / "prices.toml"
    file.write_text("[groq.m]\ninput = 2\noutput = 10\n")
    backends = {"groq": Backend("groq", "openai", "http://127.0.0.1", ("m",))}

    (done,) = reprice(engine, Prices(str(file)), backends, 0.0)

    # 100 × 2 + 50 × 10 millionths of a dollar.
    assert done == Repriced(calls=2, changed=1, difference_nano=700_000)
    assert rows(engine, tables.calls)["c1"]["price_version"].startswith("prices.toml ")
    assert {id_: told(row, "cost_nano", "saved_nano") for id_, row in rows(engine, tables.requests).items()} == {
        "r1": (700_000, None),
        "r2": (None, 700_000),
        "r3": (None, 2_000_000),
        "r4": (4_000_000, None),
    }
    assert_sums_hold(engine)
    (again,) = reprice(engine, Prices(str(file)), backends, 0.0)
    assert (again.changed, again.difference_nano) == (0, 0)


@pytest.mark.parametrize("step", [1, 2, 100])
def test_all_rows_are_exported_once_in_their_order(engine, store, step, monkeypatch):
    """Each row since the moment is a line of JSON, however many fit into a step and however many share a moment."""
    monkeypatch.setattr("optimizer_ops.recorder.export.STEP_ROWS", step)
    fleet = Fleet()
    fleet.now = NOON
    batch = [fleet.hit(f"r{number}") for number in range(5)]
    batch = [msgspec.structs.replace(event, time=NOON + number // 2) for number, event in enumerate(batch)]
    store.record([*batch, fleet.asked("r9", "f.1.1"), fleet.finished("r9", "f.1.1", "c1")], 0)

    out = io.StringIO()
    assert export(engine, "requests", NOON + 0.5, out) == 3
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert sorted(line["id"] for line in lines) == ["r2", "r3", "r4"]
    assert [line["asked"] for line in lines] == sorted(line["asked"] for line in lines)
    out = io.StringIO()
    export(engine, "calls", 0.0, out)
    (call,) = [json.loads(line) for line in out.getvalue().splitlines()]
    assert told(call, "id", "cost_usd", "input_tokens", "usage") == (
        "c1",
        0.004,
        100,
        {"prompt_tokens": 100, "completion_tokens": 50},
    )
