"""Redis as the optimizer uses it: scripts that come back, a clear "away", bounded waiting, one clock for all."""

import asyncio
import time

import pytest
import redis.asyncio as redis
from hiredis import pack_command
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from optimizer_state import pipe as pipe_module
from optimizer_state.admission import Admission, Join, Lead
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.pipe import Pipe
from optimizer_state.scripts import Step
from optimizer_state.store import TIMEOUT_S, RedisAway, Store
from optimizer_wire.messages import Waiter


@pytest.fixture
async def changes():
    """What a store told about Redis: True for back, False for away."""
    return []


@pytest.fixture
async def store(private_redis, changes):
    """A store on a Redis that the test may break."""
    store = Store(private_redis.url, "t", on_change=changes.append)
    await store.synchronise_clock()
    yield store
    await store.close()


def admission(store, name, fingerprint="f"):
    deadline_ms = store.clock.now_ms() + 60_000
    return Admission(fingerprint, Waiter(name, "q", deadline_ms, "agent", "tenant"), may_read=True)


async def timed(work):
    """How long something took, whether Redis was there or not."""
    started = time.monotonic()
    try:
        await work
    except RedisAway as error:
        return time.monotonic() - started, str(error)
    return time.monotonic() - started, ""


async def until_back(store, within_s=5.0):
    """Ask until Redis answers; returns how long that took."""
    started = time.monotonic()
    while time.monotonic() - started < within_s:
        if not (await timed(store.command("PING")))[1]:
            return time.monotonic() - started
        await asyncio.sleep(0.02)
    raise AssertionError(f"Redis was not found again within {within_s:g} s")


async def test_scripts_come_back(store, changes):
    """After SCRIPT FLUSH, and after every further one, scripts run as if nothing had been, many at once too."""
    flights = Flights(store)
    for i in range(3):
        await store.command("SCRIPT", "FLUSH")
        batches = [
            flights.admit([admission(store, f"{i}.{j}", f"f{i}"), admission(store, "x", f"g{i}")]) for j in range(5)
        ]
        admitted = [pair[0] for pair in await asyncio.gather(*batches)]
        assert sorted(type(found).__name__ for found in admitted) == ["Join"] * 4 + ["Lead"]
    assert changes == []


@pytest.mark.parametrize("packer", [pack_command, None])
async def test_packed(private_redis, monkeypatch, packer):
    """Commands go to Redis as they are, many at once, with hiredis and without; a refused one is an answer."""
    monkeypatch.setattr(pipe_module, "_pack_command", packer)
    pipe = Pipe(redis.ConnectionPool.from_url(private_redis.url), TIMEOUT_S)
    answers = await pipe.run(
        [("ECHO", "é"), ("NOSUCHCOMMAND",), ("ECHO", 7), ("ECHO", b"\x00 \r\n" * 9_999), ("ECHO", "")]
    )
    await pipe.close()

    assert isinstance(answers.pop(1), ResponseError)
    assert answers == ["é".encode(), b"7", b"\x00 \r\n" * 9_999, b""]


async def test_late_answer(private_redis):
    """A pipe that waited in vain begins anew: an answer that comes late is nobody else's."""
    pipe = Pipe(redis.ConnectionPool.from_url(private_redis.url), TIMEOUT_S)
    await pipe.run([("ECHO", "first")])
    private_redis.pause()
    try:
        with pytest.raises(RedisTimeoutError):
            await pipe.run([("ECHO", "late")])
    finally:
        private_redis.resume()

    assert await pipe.run([("ECHO", "next")]) == [b"next"]
    await pipe.close()


async def test_slow_to_close(private_redis):
    """A connection that takes long to close is not in the way of the next one."""
    pipe = Pipe(redis.ConnectionPool.from_url(private_redis.url), TIMEOUT_S)
    await pipe.run([("ECHO", "first")])
    closed = asyncio.Event()
    pipe._connection._writer.wait_closed = closed.wait

    closing = asyncio.create_task(pipe.close())
    await asyncio.sleep(0)
    assert await pipe.run([("ECHO", "next")]) == [b"next"]
    closed.set()
    await closing

    assert await pipe.run([("ECHO", "last")]) == [b"last"]
    await pipe.close()


async def test_one_bad_script_call(store, changes):
    """A script that fails is an error for who called it, and Redis is not away for that; the others had run."""
    await store.command("SET", "t:{bad}:flight", "no hash")
    with pytest.raises(RedisAway, match="refused the script admit"):
        await Flights(store).admit([admission(store, "a"), admission(store, "b", "bad")])

    assert changes == []
    assert isinstance((await Flights(store).admit([admission(store, "c")]))[0], Join)


async def test_refused_command(store, changes):
    """A command that Redis refuses says so; it is not away for that."""
    with pytest.raises(RedisAway, match="refused a command"):
        await store.command("NOSUCHCOMMAND")

    assert changes == []
    assert not store.away


async def test_killed_and_started(private_redis, store, changes):
    """A Redis that is gone is away at once and costs nobody time; it is found again within two seconds."""
    await asyncio.to_thread(private_redis.kill)
    first, _ = await timed(store.command("PING"))
    later = [await timed(store.command("PING")) for _ in range(20)]

    assert store.away
    assert first < 0.5
    assert sum(took for took, _ in later) < 0.3
    assert all("away" in words or "does not answer" in words for _, words in later)
    assert [why is None for why in changes] == [False]

    await asyncio.to_thread(private_redis.start)
    assert await until_back(store) < 2.0
    assert [why is None for why in changes] == [False, True]
    assert isinstance((await Flights(store).admit([admission(store, "a")]))[0], Lead | Join)


async def test_frozen(private_redis, store, changes):
    """A Redis that does not answer costs a caller at most a second once, and nothing after that; then it is back."""
    await Flights(store).admit([admission(store, "a")])
    private_redis.pause()
    try:
        took = [(await timed(Flights(store).admit([admission(store, str(i))])))[0] for i in range(30)]
        assert store.away
        assert max(took) < 1.0
        assert sum(took) < 1.3
    finally:
        private_redis.resume()
    await until_back(store)

    assert [why is None for why in changes] == [False, True]


async def test_frozen_with_many_callers(private_redis, store):
    """A hundred callers at once do not queue up behind each other's timeouts: all have gone on within a second."""
    await Flights(store).admit([admission(store, "a")])
    private_redis.pause()
    try:
        calls = (timed(Flights(store).admit([admission(store, str(i))])) for i in range(100))
        started = time.monotonic()
        took = [took for took, _ in await asyncio.gather(*calls)]
        assert max(took) < 1.2
        assert time.monotonic() - started < 1.2
    finally:
        private_redis.resume()
    await until_back(store)


async def test_nobody_waits_while_frozen(private_redis, store):
    """While Redis is frozen no caller waits to find out whether it is back."""
    private_redis.pause()
    try:
        while not store.away:
            await timed(store.command("PING"))
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            took = await asyncio.gather(*(timed(store.command("PING")) for _ in range(10)))
            assert max(spent for spent, _ in took) < 0.1
            await asyncio.sleep(0.05)
    finally:
        private_redis.resume()
    await until_back(store)


async def test_cancelled_caller(store):
    """A caller that is cancelled does not leave its answer to the next one."""
    for i in range(50):
        asked = asyncio.ensure_future(store.command("ECHO", f"cancelled {i}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked.cancel()
        assert await store.command("ECHO", f"wanted {i}") == f"wanted {i}".encode()


async def test_closing_leaves_no_connection(private_redis):
    """What a cancelled caller left on its way does not keep a connection open when the store is closed."""
    for turns in range(12):
        store = Store(private_redis.url, "t")
        await store.synchronise_clock()
        asked = asyncio.ensure_future(Flights(store).admit([admission(store, "mine")]))
        for _ in range(turns):
            await asyncio.sleep(0)
        asked.cancel()
        await store.close()

        assert not store._pipe._connection.is_connected, turns


async def test_scripts_lost_with_the_memory(private_redis, store):
    """A Redis that lost everything, its scripts too, is used again without a word."""
    await Flights(store).admit([admission(store, "a")])
    await asyncio.to_thread(private_redis.lose_data)
    await until_back(store)

    assert isinstance((await Flights(store).admit([admission(store, "b")]))[0], Lead)


async def test_clock(store):
    """Whatever the machine's own clock says, every store counts in Redis' time."""
    wrong = FleetClock(wall=lambda: time.time() - 3_600)
    store.clock = wrong
    assert abs(await redis_ms(store) - wrong.now_ms()) > 3_000_000

    await store.synchronise_clock()

    assert abs(await redis_ms(store) - store.clock.now_ms()) <= 20


async def redis_ms(store):
    """Redis' time now, in milliseconds."""
    seconds, microseconds = await store.command("TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000


async def test_clock_without_redis(private_redis, store):
    """While Redis is away the clock goes on from what it learned."""
    before, started = store.clock.now_ms(), time.monotonic()
    await asyncio.to_thread(private_redis.kill)
    with pytest.raises(RedisAway):
        await store.synchronise_clock()

    assert store.clock.now_ms() - before == pytest.approx((time.monotonic() - started) * 1000, abs=5)


async def test_never_reached():
    """A Redis that was never there is away, with its address and without its password."""
    changes = []
    store = Store("redis://:secret@127.0.0.1:1/0", "t", on_change=changes.append)
    with pytest.raises(RedisAway, match=r"redis://:\*\*\*@127\.0\.0\.1:1/0") as caught:
        await store.run([Step("sweep", "t:{f}", (1,))])
    await store.close()

    assert "secret" not in str(caught.value)
    assert [why is None for why in changes] == [False]


async def _full(server):
    await server.config_set("maxmemory", "1")


async def _not_full(server):
    await server.config_set("maxmemory", "0")


async def _replica(server):
    await server.execute_command("REPLICAOF", "127.0.0.1", "1")


async def _no_replica(server):
    await server.execute_command("REPLICAOF", "NO", "ONE")


async def _without_replicas(server):
    await server.config_set("min-replicas-to-write", "1")


async def _with_replicas(server):
    await server.config_set("min-replicas-to-write", "0")


@pytest.mark.fault(6)
@pytest.mark.parametrize(
    ("breaks", "mends"),
    [
        pytest.param(_full, _not_full, id="full"),
        pytest.param(_replica, _no_replica, id="replica", marks=pytest.mark.slow),
        pytest.param(_without_replicas, _with_replicas, id="too few replicas", marks=pytest.mark.slow),
    ],
)
async def test_reads_but_does_not_write(private_redis, store, changes, breaks, mends):
    """A Redis that still reads but writes nothing is away, and stays it until it writes again; nothing flaps."""
    flights = Flights(store)
    await flights.admit([admission(store, "a")])
    async with redis.Redis.from_url(private_redis.url) as operator:
        await breaks(operator)
        assert (await timed(store.command("ZADD", "t:workers", "1", "w")))[1]
        assert store.away
        asked = time.monotonic()
        while time.monotonic() - asked < 2.5:
            assert (await timed(store.command("TIME")))[1]
            await asyncio.sleep(0.05)

        await mends(operator)
    await until_back(store)
    (joined,) = await flights.admit([admission(store, "c")])

    assert isinstance(joined, Join)
    assert [bool(change) for change in changes] == [True, False]


@pytest.mark.fault(6)
async def test_password_changed(private_redis, store, changes):
    """A Redis that takes our password no more is away, without a word of the password; it is back with it."""
    await store.command("PING")
    async with redis.Redis.from_url(private_redis.url) as operator:
        await operator.config_set("requirepass", "rotated-secret")
        await operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        took_s, error = await timed(store.command("PING"))
        await operator.config_set("requirepass", "")

    assert "does not answer" in error
    assert "rotated-secret" not in error
    assert took_s < 0.5
    await until_back(store)
    assert [bool(change) for change in changes] == [True, False]


@pytest.mark.fault(6)
async def test_no_connection_left(private_redis, store, changes):
    """A Redis that takes no more clients is away at once, and back when others have gone."""
    await store.command("PING")
    async with redis.Redis.from_url(private_redis.url) as operator:
        await operator.config_set("maxclients", "1")
        await operator.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        took_s, error = await timed(store.command("PING"))
        await operator.config_set("maxclients", "1000")

    assert "max number of clients" in error
    assert took_s < 0.5
    await until_back(store)
    assert [bool(change) for change in changes] == [True, False]
