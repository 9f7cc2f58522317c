"""Share quotas on a real Redis, judged by brute force over the order in which calls arrive."""

import asyncio
import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer_config.model import Backend
from optimizer_state.share import SLACK, WINDOW, Share
from optimizer_state.store import RedisAway, Store


@pytest.fixture
async def store(redis_url, prefix):
    store = Store(redis_url, prefix)
    yield store
    await store.close()


def of(store, name="micro", max_share=None):
    """A worker's view of a backend's share."""
    return Share(store, Backend(name, "openai", "http://h", ("m",), max_share=max_share))


def worst(calls, name, window=WINDOW):
    """The largest share of any window that went to a backend; also while there are fewer calls than a window."""
    windows = [calls[max(0, end - window) : end] for end in range(1, len(calls) + 1)]
    return max(each.count(name) / len(each) for each in windows)


async def play(share, big, count, seed):
    """Ask for the limited backend as often as for another; returns what was started, in order."""
    calls, rng = [], random.Random(seed)
    for number in range(count):
        if rng.random() < 0.5:
            if await share.take(f"s{number}") == 0:
                calls.append("micro")
        else:
            assert await big.take(f"o{number}") == 0
            calls.append("other")
    return calls


@pytest.mark.parametrize("limit", [0.05, 0.29, 0.5, 0.9])
async def test_never_more_than_the_share(store, limit):
    """No window of a hundred calls, nor the first ones, holds more than the share, and most of it is used."""
    calls = await play(of(store, max_share=limit), of(store, "big"), 900, 1)

    assert worst(calls, "micro") <= limit
    used = calls[-300:].count("micro") / 300
    assert used >= min(0.4, math.floor(limit * WINDOW) / (WINDOW + 2 * SLACK) * 0.9)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.25, 0.5]))
async def test_calls_arrive_in_another_order(redis_url, prefix, seed, limit):
    """Calls that overtake each other by up to ten places still keep the share in every window as they arrive."""
    store = Store(redis_url, prefix)
    await store.command("DEL", f"{prefix}:{{share}}", f"{prefix}:{{share}}:calls")
    calls = await play(of(store, max_share=limit), of(store, "big"), 400, seed)
    await store.close()
    rng = random.Random(seed)
    places = sorted(range(len(calls)), key=lambda place: place + rng.uniform(0, SLACK))
    arrived = [calls[place] for place in places]

    assert max(abs(place - at) for at, place in enumerate(places)) <= SLACK
    assert worst(arrived, "micro") <= limit


async def test_taking_again(store, prefix):
    """The same reservation takes one place, however often it is asked for."""
    big = of(store, "big")
    for _ in range(5):
        assert await big.take("same") == 0

    assert await store.command("LLEN", f"{prefix}:{{share}}:calls") == 1


async def test_giving_back(store, prefix):
    """A call that was not made is no longer among the last ones."""
    share, big = of(store, max_share=0.5), of(store, "big")
    for number in range(SLACK + 1):
        await big.take(f"b{number}")
    assert await share.take("a") == 0
    assert await share.take("b") > 0
    await share.give_back("a")

    assert await share.take("c") == 0
    assert await store.command("LPOS", f"{prefix}:{{share}}:calls", "micro a") is None


async def test_a_refusal_takes_nothing(store, prefix):
    """What was refused is not recorded; only as many calls are kept as are looked at."""
    share, big = of(store, max_share=0.1), of(store, "big")
    assert await share.take("early") > 0
    assert await store.command("LLEN", f"{prefix}:{{share}}:calls") == 0
    for number in range(300):
        await big.take(str(number))

    assert await store.command("LLEN", f"{prefix}:{{share}}:calls") == WINDOW + 2 * SLACK - 1


@pytest.mark.parametrize("who", ["the limited backend", "another"])
async def test_redis_forgets(store, prefix, who):
    """After a loss of Redis' memory the calls before it still count: the next come after a hundred and more others."""
    share, big = of(store, max_share=0.1), of(store, "big")
    others = 0

    async def other(times):
        nonlocal others
        for _ in range(times):
            others += 1
            assert await big.take(f"b{others}") == 0

    await other(WINDOW + 2 * SLACK)
    before = [await share.take(f"before{number}") for number in range(12)]
    await store.command("DEL", f"{prefix}:{{share}}", f"{prefix}:{{share}}:calls")
    share = share if who == "the limited backend" else of(store, max_share=0.1)
    refused = []
    for _ in range(WINDOW + 2 * SLACK - 1):
        await other(1)
        refused.append(await share.take("after") > 0)

    assert before.count(0) == 10
    assert refused.index(False) == WINDOW + 2 * SLACK - 2


async def test_redis_away(private_redis, prefix):
    """Without Redis a backend with a share gets nothing, others all; what was given back meanwhile is told later."""
    store = Store(private_redis.url, prefix)
    share, big = of(store, max_share=0.5), of(store, "big")
    for number in range(30):
        await big.take(str(number))
    assert await share.take("before") == 0
    private_redis.stop()

    assert await share.take("lost") > 0
    assert await big.take("on") == 0
    await share.give_back("before")
    private_redis.start()
    async with asyncio.timeout(10):
        while await share.take("after"):
            await asyncio.sleep(0.02)
    kept = await store.command("LRANGE", f"{prefix}:{{share}}:calls", 0, 0)
    await store.close()

    assert kept == [b"micro after"]


async def test_an_answer_that_was_lost(store, prefix):
    """A place that was taken without the worker learning of it is given back with the next question."""
    share, big = of(store, max_share=0.5), of(store, "big")
    for number in range(30):
        await big.take(str(number))
    run = store.run

    async def lossy(steps):
        await run(steps)
        raise RedisAway("lost")

    store.run = lossy
    assert await share.take("lost") > 0
    store.run = run
    assert await share.take("next") == 0
    assert await share.take("further") == 0

    calls = await store.command("LRANGE", f"{prefix}:{{share}}:calls", 0, 2)
    assert calls == [b"micro further", b"micro next", b"big 29"]
