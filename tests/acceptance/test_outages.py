"""RabbitMQ and Redis die under load: every request is answered."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.support.fleet import clients, load
from tests.support.stack import Stack


@pytest.mark.slow
async def test_redis_stopped_and_started_again(stack: Stack, private_redis):
    """Redis stopped under load and started again: all answered meanwhile; then caching and collapsing are back."""
    stack.redis_url = private_redis.url
    sim = stack.simulate("alpha", {"latency": {"base_s": 0.05}}, concurrency=16)
    stack.start(coordinators=2, workers=2)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 5)
        asked = [asyncio.ensure_future(load(client, 60, f"c{i}", 0.05)) for i, client in enumerate(fleet)]
        await asyncio.sleep(1.0)
        await asyncio.to_thread(private_redis.kill)
        without = await asyncio.gather(*(client.chat("while away", timeout=30) for client in fleet))
        await asyncio.to_thread(private_redis.start)
        answered = sum(await asyncio.gather(*asked))

        for attempt in range(100):
            await fleet[0].chat(f"probe {attempt}", timeout=30)
            if (await fleet[1].chat(f"probe {attempt}", timeout=30)).source == "cache":
                break
            await asyncio.sleep(0.1)
        before = len(sim.calls())
        back = await asyncio.gather(*(client.chat("together again", timeout=30) for client in fleet for _ in range(20)))

    assert {reply.source for reply in without} == {"backend"}
    assert answered == 300
    assert len(sim.calls()) == before + 1
    assert len(back) == 100


@pytest.mark.slow
async def test_rabbitmq_killed_and_started_again(stack: Stack, private_rabbitmq):
    """RabbitMQ killed by kill -9 under load and started again: every process comes back, every request is answered."""
    stack.amqp_url = private_rabbitmq.url
    stack.simulate("alpha", {"latency": {"base_s": 0.05}}, concurrency=16)
    stack.start(coordinators=2, workers=2)
    async with AsyncExitStack() as pool:
        # A broker may take longer to start than the five seconds after which agents are told that it is away.
        fleet = await clients(stack, pool, 5, connect_timeout=60.0)
        asked = [asyncio.ensure_future(load(client, 60, f"c{i}", 0.05)) for i, client in enumerate(fleet)]
        await asyncio.sleep(1.0)
        await asyncio.to_thread(private_rabbitmq.kill)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(private_rabbitmq.start)

        answered = sum(await asyncio.gather(*asked))

    assert answered == 300
    assert [running.name for running in stack.running if running.process.poll() is not None] == []
