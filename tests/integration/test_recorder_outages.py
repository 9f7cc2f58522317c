"""The recorder through outages: of its database, of RabbitMQ, of itself."""

import asyncio
import sqlite3
import time
from dataclasses import replace

import pytest
from tests.support.postgres import PrivatePostgres
from tests.support.recorded import Fleet, assert_sums_hold, rows
from tests.support.stack import Stack, wait_until

from optimizer_ops.history import tables
from optimizer_ops.history.database import DatabaseUnavailable, migrate, open_engine
from optimizer_ops.history.reader import History
from optimizer_ops.recorder.store import HistoryStore
from optimizer_ops.recorder.writer import Writer
from optimizer_service.logs import logger
from optimizer_wire.broker_errors import Unroutable
from optimizer_wire.codec import encode
from optimizer_wire.frames import Properties
from optimizer_wire.journal import Journal
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, former_recorder_binding, recorder_topology


async def publish(url, prefix, batch):
    """Publish events as processes do: not persistent, not confirmed."""
    async with await Session.open(url, "test") as session:
        channel = await session.channel()
        journal = Journal(channel, Names(prefix))
        for event in batch:
            journal.add(event.id, encode(event))
        await channel.flush()


def recorded(stack):
    """How many events the history says it has, and how many are lost."""
    with sqlite3.connect(f"file:{stack.folder / 'history.db'}?mode=ro", uri=True) as history:
        return history.execute("SELECT recorded, lost FROM recorder").fetchone()


async def test_a_recorder_takes_over_from_an_earlier_version(amqp_url, redis_url, prefix, tmp_path):
    """A recorder records the single events that an earlier version left in its queue, and hears the journal alone."""
    stack, names, fleet = Stack(tmp_path, amqp_url, redis_url, prefix), Names(prefix), Fleet()
    stack.configure()
    try:
        async with await Session.open(amqp_url, "test") as session:
            channel = await session.channel(confirms=True)
            await channel.declare(replace(recorder_topology(names), bindings=(former_recorder_binding(names),)))
            for number in range(3):
                left = fleet.hit(f"a{number}")
                await channel.publish_confirmed(names.events, left.type, encode(left), Properties("", left.id, ""))
            recorder = stack.launch("recorder", "optimizer_ops", "recorder")
            await asyncio.to_thread(stack.ready, recorder)
            with pytest.raises(Unroutable):
                await channel.publish_confirmed(names.events, left.type, encode(left), Properties("", left.id, ""))
            await publish(amqp_url, prefix, [left, fleet.hit("b")])
        await asyncio.to_thread(wait_until, lambda: recorded(stack) == (4, 0), "all of them, each once")
    finally:
        stack.close()


@pytest.mark.slow
async def test_what_waits_survives_rabbitmq_and_the_recorder(private_rabbitmq, prefix, tmp_path):
    """Events told while no recorder ran are there after RabbitMQ was restarted, each once."""
    stack = Stack(tmp_path, private_rabbitmq.url, "redis://127.0.0.1:6379/0", prefix)
    stack.configure()
    try:
        first = stack.launch("recorder", "optimizer_ops", "recorder")
        await asyncio.to_thread(stack.ready, first)
        fleet = Fleet()
        await publish(private_rabbitmq.url, prefix, [fleet.hit(f"a{number}") for number in range(50)])
        await asyncio.to_thread(wait_until, lambda: recorded(stack) == (50, 0), "the first events")
        await asyncio.to_thread(first.kill)
        await publish(private_rabbitmq.url, prefix, [fleet.hit(f"b{number}") for number in range(500)])
        await asyncio.to_thread(private_rabbitmq.stop)
        await asyncio.to_thread(private_rabbitmq.start)
        second = stack.launch("recorder", "optimizer_ops", "recorder")
        await asyncio.to_thread(wait_until, lambda: recorded(stack) == (550, 0), "what waited", 40)
        assert second.stop() == 0
    finally:
        stack.close()


async def test_a_locked_database_is_waited_for(tmp_path, monkeypatch):
    """While another program writes, nothing is lost: why is said, and the batch is written as soon as it can be."""
    monkeypatch.setattr("optimizer_ops.history.database.BUSY_S", 0.05)
    engine = open_engine(f"sqlite:///{tmp_path}/history.db", create=True)
    migrate(engine)
    writer, batch = Writer(HistoryStore(engine, "here"), logger("test")), [Fleet().hit("r1")]
    with sqlite3.connect(tmp_path / "history.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.ensure_future(writer.write(batch, lambda: False))
        end = time.monotonic() + 10
        while writer.trouble is None and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert "is locked" in writer.trouble
        assert writer.lag_s() > 0
        other.execute("ROLLBACK")
    other.close()
    assert await asyncio.wait_for(writing, 20) == batch
    assert writer.trouble is None
    assert_sums_hold(engine)
    engine.dispose()


@pytest.mark.parametrize("becomes", ["gone", "backup"])
async def test_a_file_that_is_deleted_or_replaced_is_not_written_to(tmp_path, becomes):
    """What comes after the file was deleted, or a backup put in its place, is in the file that is there now."""
    file, copy = tmp_path / "history.db", tmp_path / "copy.db"
    engine = open_engine(f"sqlite:///{file}", create=True)
    migrate(engine)
    writer, fleet, reader = Writer(HistoryStore(engine, "here"), logger("test")), Fleet(), None
    await writer.write([fleet.hit("r1")], lambda: False)
    reader = History.open(f"sqlite:///{file}")
    assert reader.totals(0).requests == 1
    with sqlite3.connect(file) as other:
        other.execute("VACUUM INTO ?", (str(copy),))
    other.close()
    await writer.write([fleet.hit("r2")], lambda: False)
    for end in ("", "-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    if becomes == "backup":
        copy.rename(file)
    else:
        with pytest.raises(DatabaseUnavailable, match="does not exist"):
            reader.totals(0)
        assert not file.exists()
    new = [fleet.hit("r3")]
    assert await asyncio.wait_for(writer.write(new, lambda: False), 20) == new
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as now:
        there = [id_ for (id_,) in now.execute("SELECT id FROM requests ORDER BY id")]
    now.close()
    assert there == (["r1", "r3"] if becomes == "backup" else ["r3"])
    assert reader.totals(0).requests == len(there)
    reader.close()
    engine.dispose()


async def test_a_server_that_is_away_is_waited_for():
    """A PostgreSQL that stops and starts again in the middle loses nothing and takes nothing twice."""
    if not PrivatePostgres.installed():
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with PrivatePostgres() as server:
        engine = open_engine(server.url)
        migrate(engine)
        writer, fleet = Writer(HistoryStore(engine, "here"), logger("test")), Fleet()
        first, second = [fleet.hit("r1")], [fleet.hit("r2")]
        await writer.write(first, lambda: False)
        await asyncio.to_thread(server.stop)
        writing = asyncio.ensure_future(writer.write([*first, *second], lambda: False))
        end = time.monotonic() + 20
        while writer.trouble is None and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert writer.trouble is not None
        await asyncio.to_thread(server.start)
        assert await asyncio.wait_for(writing, 30) == second
        assert set(rows(engine, tables.requests)) == {"r1", "r2"}
        engine.dispose()
