"""Things break at awkward moments, and requests meet in awkward ways: every one is answered all the same."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
import redis
from tests.lab.proxy import TcpProxy
from tests.support.fleet import clients, echo
from tests.support.stack import Stack, wait_until

from optimizer_client import Cancelled, DeadlineExceeded
from optimizer_ops.services.urls import parse


def forget_everything(url: str) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(url) as client:
        client.flushall()


@pytest.mark.slow
async def test_connection_lost_before_a_repetition(stack: Stack):
    """A worker that has lost its connection when a call is to be made again gives the call's reservation back."""
    sim = stack.simulate("alpha", {"fail": [503]}, limits={"concurrency": 1})
    stack.configure()
    broker = parse(stack.amqp_url)
    with TcpProxy(broker.host, broker.port) as proxy:
        url = stack.amqp_url.replace(f"{broker.host}:{broker.port}", f"127.0.0.1:{proxy.port}")
        stack.ready(stack.coordinator(), stack.worker("alpha", OPTIMIZER_AMQP_URL=url))
        async with AsyncExitStack() as pool:
            (client,) = await clients(stack, pool, 1)
            first = asyncio.ensure_future(client.chat("first", timeout=40))
            await asyncio.to_thread(wait_until, sim.calls, "the first call")
            proxy.swallow()
            proxy.reset()
            await asyncio.sleep(2.5)
            proxy.heal()
            proxy.reset()

            other = await client.chat("other", timeout=12)

            assert other.text.startswith(echo("other"))
            assert (await first).text.startswith(echo("first"))


async def test_redis_forgets_a_call_that_waits_to_be_repeated(stack: Stack, private_redis):
    """FLUSHALL while a failed call pauses: the call is made again, without waiting for its client's resubmission."""
    stack.redis_url = private_redis.url
    sim = stack.simulate("alpha", {"fail": [503]})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = asyncio.ensure_future(client.chat("again", timeout=40))
        await asyncio.to_thread(wait_until, sim.calls, "the first call")
        forget_everything(private_redis.url)
        reply = await asyncio.wait_for(asked, 10)

    assert reply.text.startswith(echo("again"))
    assert len(sim.calls()) == 2


@pytest.mark.slow
async def test_leader_leaves_before_a_later_waiter(stack: Stack):
    """A call fails when its leader has no time left for another: it is repeated for those who have."""
    sim = stack.simulate("alpha", {"fail": [503, 503]})
    stack.start()
    async with AsyncExitStack() as pool:
        one, other = await clients(stack, pool, 2)
        leader = asyncio.ensure_future(one.chat("the same", timeout=2.5))
        await asyncio.to_thread(wait_until, sim.calls, "the first call")
        reply = await other.chat("the same", timeout=30)
        with pytest.raises(DeadlineExceeded):
            await leader

    assert reply.text.startswith(echo("the same"))
    assert len(sim.calls()) == 3


async def test_id_of_a_request_that_ended_is_told(stack: Stack):
    """Asking again under the id of a request that was cancelled or expired ends at once, not at the deadline."""
    stack.simulate("alpha", limits={"few": {"count": 1, "per_s": 30.0}})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        await client.chat("first", timeout=20)
        waiting = asyncio.ensure_future(client.chat("cancelled", request_id="one", timeout=20))
        await asyncio.sleep(0.5)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(DeadlineExceeded):
            await client.chat("expired", request_id="two", timeout=0.5)
        await asyncio.sleep(1.5)

        started = time.monotonic()
        with pytest.raises(Cancelled):
            await client.chat("cancelled", request_id="one", timeout=10)
        with pytest.raises(DeadlineExceeded):
            await client.chat("expired", request_id="two", timeout=10)
        took_s = time.monotonic() - started

    assert took_s < 5


async def test_two_agents_choose_the_same_id(stack: Stack):
    """Two agents ask the same under the same id at the same time: one call, and both are answered by it."""
    sim = stack.simulate("alpha", {"latency": {"base_s": 1.0}})
    stack.start()
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 2)
        asked = [client.chat("the same", request_id="report-of-today", timeout=30) for client in fleet]
        replies = await asyncio.wait_for(asyncio.gather(*asked), 8)

    assert [reply.text[:21] for reply in replies] == [echo("the same")] * 2
    assert len(sim.calls()) == 1


@pytest.mark.slow
async def test_calls_in_flight_while_redis_is_frozen(stack: Stack, private_redis):
    """Calls that end while Redis is frozen hold no part of the budget once it is back."""
    stack.redis_url = private_redis.url
    sim = stack.simulate("alpha", {"latency": {"base_s": 1.0}}, limits={"concurrency": 4})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = [asyncio.ensure_future(client.chat(f"q{i}", timeout=30)) for i in range(4)]
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) == 4, "all calls")
        await asyncio.to_thread(private_redis.pause)
        await asyncio.gather(*asked)
        await asyncio.to_thread(private_redis.resume)
        await asyncio.sleep(2)

        reply = await client.chat("afterwards", timeout=10)

    assert reply.text.startswith(echo("afterwards"))
