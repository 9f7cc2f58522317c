"""Quotas of agents on real processes: who asks too much waits, or is told exactly when to come back."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
import redis
from tests.support.fleet import clients, echo
from tests.support.judge import max_in_window
from tests.support.stack import Stack
from tests.support.tap import Tap

from optimizer_client import DeadlineExceeded, QuotaExceeded

# "A minute" of two seconds.
AGENT = 4
FLEET = 10
QUOTAS = f"""
[quotas]
over = "OVER"
fleet = {{ each = {{ count = {FLEET}, per_s = 2 }} }}
agent = {{ each = {{ count = {AGENT}, per_s = 2 }} }}
"""
# Between admission and the backend a call is under way for some time, now more, now less.
UNDER_WAY_S = 0.5


def quotas(stack: Stack, over: str, **more) -> None:
    stack.extra = QUOTAS.replace("OVER", over)
    stack.simulate("alpha", {"latency": {"base_s": 0.05}}, concurrency=16, **more)


async def ask_all(client, name, count):
    """Ask different things at the same time; returns how long each waited."""

    async def ask(number):
        began = time.monotonic()
        reply = await client.chat(f"{name} {number}", timeout=60)
        assert reply.text.startswith(echo(f"{name} {number}"))
        return time.monotonic() - began

    return await asyncio.gather(*(ask(number) for number in range(count)))


async def test_who_asks_too_much_waits(stack: Stack):
    """Over its quota an agent waits, at two coordinators too, nobody is refused, and others are not held up by it."""
    quotas(stack, "wait")
    stack.start(coordinators=2)
    with Tap(stack.amqp_url, stack.prefix) as tap:
        async with AsyncExitStack() as pool:
            hog, *small = await clients(stack, pool, 3)
            began = time.monotonic()
            hogging = asyncio.ensure_future(ask_all(hog, "hog", 16))
            await asyncio.sleep(0.3)
            waits = await asyncio.gather(*(ask_all(client, client.agent, 3) for client in small))
            await hogging
            took_s = time.monotonic() - began

        told = {event.fields["outcome"] for event in tap_events(tap, "optimizer.quota")}

    # Four at once, four every two seconds after that.
    assert 6.0 <= took_s < 9.0
    assert max(map(max, waits)) < 1.5
    assert told == {"waiting"}


def tap_events(tap, kind):
    return [event for event in tap.events() if event.key == kind]


async def test_quotas_hold_at_the_backend(stack: Stack):
    """Neither an agent's nor the fleet's quota is exceeded in any window, and what there is gets used."""
    quotas(stack, "wait")
    sim = stack.simulate("beta", {"latency": {"base_s": 0.02}}, concurrency=16)
    stack.routes["default"] = ["beta"]
    stack.start(coordinators=2, workers=2)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 4)
        began = time.monotonic()
        await asyncio.gather(*(ask_all(client, client.agent, 12) for client in fleet))
        took_s = time.monotonic() - began

    arrivals = [call["mono"] for call in sim.calls()]
    assert len(arrivals) == 48
    assert max_in_window(arrivals, 2 - UNDER_WAY_S)[0] <= FLEET
    # 48 at 10 in 2 s: the last ten or fewer of them begin after 8 s.
    assert took_s < 12.5


async def test_hits_and_collapsed_requests_are_free(stack: Stack):
    """What is answered from the cache, or joins a call on its way, takes nothing of a quota."""
    quotas(stack, "reject")
    stack.start(coordinators=2)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        await asyncio.gather(*(client.chat("the same", timeout=30) for _ in range(50)))
        replies = [await client.chat("the same", timeout=30) for _ in range(20)]
        assert {reply.source for reply in replies} == {"cache"}

        # Room is left for all but one.
        await ask_all(client, "other", AGENT - 1)
        with pytest.raises(QuotaExceeded):
            await client.chat("one too many", timeout=30)


async def test_who_asks_too_much_is_refused(stack: Stack):
    """With `over = "reject"` an agent is told at once when to come back, and is then served."""
    quotas(stack, "reject")
    stack.start()
    with Tap(stack.amqp_url, stack.prefix) as tap:
        async with AsyncExitStack() as pool:
            client, other = await clients(stack, pool, 2)
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


async def test_a_quota_that_opens_too_late(stack: Stack):
    """A request whose quota surely opens after its deadline is told so at once, and never called."""
    stack.extra = "[quotas]\nagent = { each = { count = 1, per_s = 60 } }\n"
    sim = stack.simulate("alpha")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        await client.chat("first", timeout=30)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="It would have to wait"):
            await client.chat("second", timeout=20)

    assert time.monotonic() - began < 3
    assert len(sim.calls()) == 1


async def test_tokens_of_an_agent_are_what_its_calls_used(stack: Stack):
    """A quota in tokens is charged with what calls really used, once, and an agent that used it up has to wait."""
    stack.extra = "[quotas]\nagent = { tpm = 2000 }\n"
    stack.simulate("alpha", {"latency": {"base_s": 0.05}})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = [await client.chat(f"question {number}", timeout=30) for number in range(3)]
        used = sum(reply.usage.total_tokens for reply in replies)
        with redis.Redis.from_url(stack.redis_url) as store:
            slots = store.hgetall(f"{stack.prefix}:{{quota}}:window:agent:default/agent-0:tpm")
        assert sum(map(int, slots.values())) == used

        await asyncio.gather(*(client.chat("the same", timeout=30) for _ in range(5)))
        with redis.Redis.from_url(stack.redis_url) as store:
            slots = store.hgetall(f"{stack.prefix}:{{quota}}:window:agent:default/agent-0:tpm")
            reserved = store.hlen(f"{stack.prefix}:{{quota}}:reserved")
        assert sum(map(int, slots.values())) < 2 * used
        assert reserved == 0
