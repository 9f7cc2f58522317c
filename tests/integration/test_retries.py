"""The fleet's retry budget on a real Redis."""

import asyncio

import pytest

from optimizer_config.model import RetrySettings
from optimizer_state.retries import Retries
from optimizer_state.store import Store

SETTINGS = RetrySettings(0.2, 10.0, 3)


@pytest.fixture
async def store(redis_url, prefix):
    store = Store(redis_url, prefix)
    yield store
    await store.close()


class Clock:
    """A clock that a test turns."""

    def __init__(self):
        self.s = 1_000.0

    def __call__(self):
        return self.s


async def granted(workers, asks, name="r"):
    """How many of so many different repetitions, asked for by all workers at once, are allowed."""
    waits = await asyncio.gather(*(workers[i % len(workers)].ask(f"{name}{i}") for i in range(asks)))
    assert all(0 <= wait <= 1_000 for wait in waits)
    return waits.count(0)


async def test_a_fifth_of_the_whole_fleet(store):
    """However many workers ask at once, a fifth of all calls that any of them began is repeated."""
    workers = [Retries(store, SETTINGS) for _ in range(5)]
    for worker in workers:
        await worker.count_calls(14)

    assert await granted(workers, 40) == 14
    assert await granted(workers, 5, "more") == 0
    await workers[0].count_calls(5)
    assert await granted(workers, 5, "again") == 1


async def test_a_quiet_fleet(store):
    """With hardly any calls, three repetitions are allowed for all workers together."""
    workers = [Retries(store, SETTINGS) for _ in range(3)]

    assert await granted(workers, 10) == 3


async def test_asking_again(store):
    """Asking again with the same name takes nothing more, whether the answer arrived or was lost."""
    worker, other = Retries(store, SETTINGS), Retries(store, SETTINGS)

    assert [await worker.ask("same") for _ in range(5)] == [0] * 5
    assert await other.ask("same") == 0
    assert await granted([other], 9) == 2
    assert await Retries(store, SETTINGS).ask("same") == 0


async def test_telling_twice_counts_once(store):
    """A telling that Redis saw twice, because its answer was lost, is counted once."""
    worker = Retries(store, SETTINGS)
    run, steps = store.run, []

    async def twice(batch):
        steps.extend(batch)
        await run(batch)
        return await run(batch)

    store.run = twice
    await worker.count_calls(25)
    store.run = run

    assert len(steps) == 1
    assert await granted([worker], 20) == 5


async def test_the_window_slides(store):
    """Repetitions leave the window after it and a margin, calls a margin before its end."""
    worker = Retries(store, RetrySettings(0.2, 1.0, 1))
    await worker.count_calls(10)
    await asyncio.sleep(0.3)
    assert await granted([worker], 1, "early") == 1
    await asyncio.sleep(0.5)

    assert await granted([worker], 4, "late") == 0
    wait = await worker.ask("next")
    assert 0 < wait <= 1_250 - 500
    await asyncio.sleep(wait / 1000 + 0.05)
    assert await granted([worker], 4, "then") == 1


async def test_only_few_things_are_kept(store, prefix):
    """What has left the window leaves Redis too."""
    worker = Retries(store, RetrySettings(0.2, 0.2, 2))
    for number in range(20):
        await worker.count_calls(1)
        await worker.ask(str(number))
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    await worker.count_calls(1)
    await worker.ask("last")

    assert await store.command("ZCARD", f"{prefix}:{{retries}}") <= 2
    assert await store.command("ZCARD", f"{prefix}:{{retries}}:calls") == 1


async def test_redis_forgets(store, prefix):
    """After a loss of Redis' memory a worker's own repetitions are told again, so that it gets no more than before."""
    worker = Retries(store, SETTINGS)
    assert await granted([worker], 5) == 3
    await store.command("DEL", f"{prefix}:{{retries}}", f"{prefix}:{{retries}}:calls")

    assert await granted([worker], 5, "more") == 0


async def test_redis_away(private_redis, prefix):
    """Without Redis a worker keeps the share by its own calls, never waiting; Redis learns of it when it is back."""
    clock = Clock()
    store = Store(private_redis.url, prefix)
    worker, other = (Retries(store, SETTINGS, monotonic=clock) for _ in range(2))
    await other.count_calls(100)
    await worker.count_calls(20)
    private_redis.stop()

    await worker.count_calls(10)
    alone = await granted([worker], 20)
    assert await worker.ask("r0") == 0
    clock.s += 5
    still = await granted([worker], 20, "still")
    clock.s += 10
    later = await granted([worker], 5, "later")
    private_redis.start()
    async with asyncio.timeout(10):
        while store.away:
            await asyncio.sleep(0.02)
            await other.count_calls(0)
    await worker.ask("back")
    known = await store.command("ZCARD", f"{prefix}:{{retries}}")
    await store.close()

    assert (alone, still, later) == (6, 0, 1)
    assert not store.away
    assert known == 2
