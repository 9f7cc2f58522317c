"""The fleet's knowledge of what calls use, in a real Redis."""

import asyncio

import pytest

from optimizer_config.model import Backend
from optimizer_state.learned import HALVED_AFTER_CALLS, Learned, learned_key
from optimizer_state.store import Store

BACKEND = Backend(name="b", api="openai", base_url="http://127.0.0.1:1", models=("m", "org/n:free"))


@pytest.fixture
async def store(redis_url, prefix):
    """A store of this test alone."""
    store = Store(redis_url, prefix)
    yield store
    await store.close()


def learn(learned, calls, *, output_tokens=100, model="m"):
    """Count some calls alike."""
    for _ in range(calls):
        learned.estimates.add(model, chars=400, input_tokens=100, output_tokens=output_tokens, micro_usd=25)


async def test_workers_learn_from_each_other(store):
    """What one tells the other knows, for each model by itself."""
    one, other = Learned(store, BACKEND), Learned(store, BACKEND)
    learn(one, 5)
    learn(other, 4, model="org/n:free")
    learn(other, 3, model="made up")

    assert [await each.exchange() for each in (one, other, one)] == [True] * 3
    for learned in (one, other):
        known = [learned.estimates.lesson(model).calls for model in ("m", "org/n:free", "other")]
        assert known == [5, 4, 3]
        assert learned.estimates.lesson("m") == one.estimates.lesson("m")
    assert one.estimates.lesson("m").usd_per_call == pytest.approx(25e-6)


async def test_estimates_follow_change(store):
    """Old calls count half at a time, so that answers that have become longer are soon expected."""
    learned = Learned(store, BACKEND)
    learn(learned, HALVED_AFTER_CALLS, output_tokens=50)
    await learned.exchange()
    assert learned.estimates.lesson("m").calls == HALVED_AFTER_CALLS
    learn(learned, 1, output_tokens=50)
    await learned.exchange()
    assert learned.estimates.lesson("m").calls == HALVED_AFTER_CALLS // 2
    assert learned.estimates.input_tokens("m", 400) == pytest.approx(100, abs=1)

    learn(learned, 100, output_tokens=2000)
    await learned.exchange()

    assert learned.estimates.output_tokens("m", None) >= 2000


async def test_a_lesson_takes_little_room(store, prefix):
    """A hash of a few dozen numbers for each model, with a time to live."""
    learned = Learned(store, BACKEND)
    for tokens in range(1, 100_000, 97):
        learn(learned, 1, output_tokens=tokens)
    await learned.exchange()
    key = learned_key(prefix, "b", "m")

    assert await store.command("HLEN", key) < 100
    assert await store.command("PTTL", key) > 0


async def test_nothing_is_written_where_nothing_was_learned(store, prefix):
    """A worker without work leaves no keys."""
    await Learned(store, BACKEND).exchange()

    assert not await store.command("EXISTS", learned_key(prefix, "b", "m"))


async def test_without_redis_a_worker_learns_for_itself(private_redis):
    """And tells what it learned when Redis is back."""
    store = Store(private_redis.url, "t")
    learned, other = Learned(store, BACKEND), Learned(store, BACKEND)
    private_redis.stop()
    learn(learned, 10)

    assert not await learned.exchange()
    assert learned.estimates.output_tokens("m", None) < 125
    private_redis.start()
    while not await learned.exchange():
        await asyncio.sleep(0.02)
    await other.exchange()
    await store.close()

    assert other.estimates.lesson("m").calls == 10
