"""Quotas of agents on real processes: who asks too much waits, or is told exactly when to come back.

Two deployments: in one who asks too much waits, in the other it is refused. Each test has agents of its own.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
import redis
from tests.support.fleet import echo
from tests.support.judge import max_in_window
from tests.support.stack import Simulated, Stack
from tests.support.tap import Tap, shared_stack

from optimizer_client import AsyncOptimizer, DeadlineExceeded, QuotaExceeded

# "A minute" of two seconds.
AGENT = 4
FLEET = 10
EACH = f"agent = {{ each = {{ count = {AGENT}, per_s = 2 }} }}"
WAIT = f"""
[quotas]
fleet = {{ each = {{ count = {FLEET}, per_s = 2 }} }}
{EACH}
[agents.rare-0]
limits = {{ each = {{ count = 1, per_s = 60 }} }}
"""
REJECT = f"""
[quotas]
over = "reject"
{EACH}
[agents.reader-0]
limits = {{ tpm = 2000 }}
"""
# Between admission and the backend a call is under way for some time, now more, now less.
UNDER_WAY_S = 0.5


def deployed(folder, amqp_url: str, redis_url: str, quotas: str) -> Iterator[tuple[Stack, Simulated]]:
    """Two coordinators and two workers with these quotas."""
    with shared_stack(folder, amqp_url, redis_url) as stack:
        stack.extra = quotas
        sim = stack.simulate("alpha", {"latency": {"base_s": 0.05}}, concurrency=16)
        stack.start(coordinators=2, workers=2)
        yield stack, sim


@pytest.fixture(scope="module")
def waiting(tmp_path_factory, amqp_url, redis_url) -> Iterator[tuple[Stack, Simulated]]:
    """Where one waits."""
    yield from deployed(tmp_path_factory.mktemp("waiting"), amqp_url, redis_url, WAIT)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory, amqp_url, redis_url) -> Iterator[Stack]:
    """Where one is refused."""
    for stack, _ in deployed(tmp_path_factory.mktemp("refusing"), amqp_url, redis_url, REJECT):
        yield stack


async def agents(stack: Stack, pool: AsyncExitStack, name: str, count: int) -> list[AsyncOptimizer]:
    """Connected agents of this name."""
    made = [AsyncOptimizer(f"{name}-{i}", url=stack.amqp_url, prefix=stack.prefix) for i in range(count)]
    return [await pool.enter_async_context(each) for each in made]


async def ask_all(client, name, count):
    """Ask different things at the same time; returns how long each waited."""

    async def ask(number):
        began = time.monotonic()
        reply = await client.chat(f"{name} {number}", timeout=60)
        assert reply.text.startswith(echo(f"{name} {number}"))
        return time.monotonic() - began

    return await asyncio.gather(*(ask(number) for number in range(count)))


async def test_who_asks_too_much_waits(waiting):
    """Over its quota an agent waits, at two coordinators too, nobody is refused, and others are not held up by it."""
    stack, _ = waiting
    with Tap(stack.amqp_url, stack.prefix) as tap:
        async with AsyncExitStack() as pool:
            (hog,) = await agents(stack, pool, "hog", 1)
            small = await agents(stack, pool, "small", 2)
            began = time.monotonic()
            hogging = asyncio.ensure_future(ask_all(hog, "hog", 10))
            await asyncio.sleep(0.3)
            waits = await asyncio.gather(*(ask_all(client, client.agent, 3) for client in small))
            await hogging
            took_s = time.monotonic() - began

        told = {event.fields["outcome"] for event in tap_events(tap, "optimizer.quota")}

    # Four at once, four every two seconds after that.
    assert 4.0 <= took_s < 7.0
    assert max(map(max, waits)) < 1.5
    assert told == {"waiting"}


def tap_events(tap, kind):
    return [event for event in tap.events() if event.key == kind]


async def test_a_quota_that_opens_too_late(waiting):
    """A request whose quota surely opens after its deadline is told so at once, and never called."""
    stack, sim = waiting
    called = len(sim.calls())
    async with AsyncExitStack() as pool:
        (client,) = await agents(stack, pool, "rare", 1)
        await client.chat("first", timeout=30)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="It would have to wait"):
            await client.chat("second", timeout=20)

    assert time.monotonic() - began < 3
    assert len(sim.calls()) == called + 1


async def test_quotas_hold_at_the_backend(waiting):
    """Neither an agent's nor the fleet's quota is exceeded in any window, and what there is gets used."""
    stack, sim = waiting
    async with AsyncExitStack() as pool:
        fleet = await agents(stack, pool, "agent", 4)
        began = time.monotonic()
        await asyncio.gather(*(ask_all(client, client.agent, 8) for client in fleet))
        took_s = time.monotonic() - began

    arrivals = [call["mono"] for call in sim.calls() if call["mono"] >= began]
    assert len(arrivals) == 32
    assert max_in_window(arrivals, 2 - UNDER_WAY_S)[0] <= FLEET
    # 32 at 10 in 2 s: the last two of them begin after 6 s, or two later if the fleet had just asked.
    assert took_s < 10.5


async def test_hits_and_collapsed_requests_are_free(refusing):
    """What is answered from the cache, or joins a call on its way, takes nothing of a quota."""
    async with AsyncExitStack() as pool:
        (client,) = await agents(refusing, pool, "free", 1)
        await asyncio.gather(*(client.chat("the same", timeout=30) for _ in range(50)))
        replies = [await client.chat("the same", timeout=30) for _ in range(20)]
        assert {reply.source for reply in replies} == {"cache"}

        # Room is left for all but one.
        await ask_all(client, "another", AGENT - 1)
        with pytest.raises(QuotaExceeded):
            await client.chat("much too many", timeout=30)


async def test_who_asks_too_much_is_refused(refusing):
    """With `over = "reject"` an agent is told at once when to come back, and is then served."""
    with Tap(refusing.amqp_url, refusing.prefix) as tap:
        async with AsyncExitStack() as pool:
            client, other = await agents(refusing, pool, "agent", 2)
            await ask_all(client, "first", AGENT)
            began = time.monotonic()
            with pytest.raises(QuotaExceeded) as caught:
                await client.chat("one too many", timeout=30)
            assert time.monotonic() - began < 1
            assert 0 < caught.value.retry_after_s <= 2.1
            assert "the quota of agent agent-0 (4 requests in 2 s)" in str(caught.value)
            await other.chat("another agent", timeout=30)

            await asyncio.sleep(caught.value.retry_after_s)
            assert (await client.chat("one too many", timeout=30)).text.startswith(echo("one too many"))
        refused = [event.fields for event in tap_events(tap, "optimizer.quota")]

    assert [(event["outcome"], event["agent"]) for event in refused] == [("refused", "agent-0")]


async def test_tokens_of_an_agent_are_what_its_calls_used(refusing):
    """A quota in tokens is charged with what calls really used, once, and an agent that used it up has to wait."""
    stack, key = refusing, f"{refusing.prefix}:{{quota}}:window:agent:default/reader-0:tpm"
    async with AsyncExitStack() as pool:
        (client,) = await agents(stack, pool, "reader", 1)
        replies = [await client.chat(f"question {number}", timeout=30) for number in range(3)]
        used = sum(reply.usage.total_tokens for reply in replies)
        with redis.Redis.from_url(stack.redis_url) as store:
            assert int(store.hget(key, "sum")) == used

        await asyncio.gather(*(client.chat("the same for all", timeout=30) for _ in range(5)))
        with redis.Redis.from_url(stack.redis_url) as store:
            taken = int(store.hget(key, "sum"))
            reserved = store.hlen(f"{stack.prefix}:{{quota}}:reserved")
        assert taken < 2 * used
        assert reserved == 0
