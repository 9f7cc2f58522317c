"""Row 6: Redis answers late, or not at all, and nobody breaks a connection."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import redis
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy
from tests.support.servers import PrivateRedis

from optimizer_client import AsyncOptimizer
from optimizer_ops.services.urls import parse

# What a slow Redis may cost one request in all, and what a busy machine may add to that.
ADDED_S = 0.5
BUSY_S = 0.15
SLOW_FOR_S = 5.0


async def client_paused(server: PrivateRedis, _: TcpProxy) -> Callable[[], None]:
    """CLIENT PAUSE: Redis takes commands and answers none, not even the one that would end it."""

    def tell() -> None:
        with redis.Redis.from_url(server.url) as client:
            client.client_pause(int(SLOW_FOR_S * 1000))

    await asyncio.to_thread(tell)
    return lambda: None


async def frozen(server: PrivateRedis, _: TcpProxy) -> Callable[[], None]:
    """SIGSTOP, as a Redis that swaps, forks or runs a script for minutes."""
    await asyncio.to_thread(server.pause)
    return server.resume


async def far_away(_: PrivateRedis, proxy: TcpProxy) -> Callable[[], None]:
    """Each way takes half a second."""
    proxy.delay(0.5)
    return proxy.heal


async def swallowed(_: PrivateRedis, proxy: TcpProxy) -> Callable[[], None]:
    """The network loses what Redis answers."""
    proxy.swallow("down")

    def mend() -> None:
        proxy.heal()
        proxy.reset()

    return mend


@asynccontextmanager
async def behind_a_proxy(lab: Laboratory, server: PrivateRedis) -> AsyncIterator[TcpProxy]:
    """A deployment whose processes reach Redis by a proxy."""
    address = parse(server.url)
    with TcpProxy(address.host, address.port) as proxy:
        lab.stack.redis_url = proxy.url_of(server.url)
        lab.simulate("alpha", limits={"rpm": 600, "concurrency": 8})
        await lab.start(workers=2)
        yield proxy
        for each in lab.stack.running:
            if each.name.startswith(("coordinator", "worker")):
                await asyncio.to_thread(each.stop)


async def took(lab: Laboratory, client: AsyncOptimizer, prompt: str) -> float:
    """How long one request took, from being asked to its answer."""
    await lab.ask(client, prompt, 30)
    return lab.history.notes[-1].ended - lab.history.notes[-1].asked


async def slow_at_every_moment(
    lab: Laboratory,
    server: PrivateRedis,
    slow: Callable[[PrivateRedis, TcpProxy], Awaitable[Callable[[], None]]],
    *,
    times: int,
    for_s: float,
) -> None:
    """Slow Redis down; measure each request until it is quick again, and look whether answers are shared then."""
    async with behind_a_proxy(lab, server) as proxy:
        (client,) = await lab.clients(1)
        usual = sorted([await took(lab, client, f"usual {i}") for i in range(20)])[10]
        added = []
        for round_ in range(times):
            at = time.monotonic()
            mend = await slow(server, proxy)
            while time.monotonic() - at < for_s:
                added.append(await took(lab, client, f"slow {round_} {len(added)}") - usual)
                await asyncio.sleep(0.05)
            await asyncio.to_thread(mend)
            lab.history.fault(f"{slow.__name__} for {for_s:g} s", at, time.monotonic() + 5.0, extra_calls=math.inf)
            await shared_again(lab, client, str(round_))
        worst = sorted(added)[-3:]
        print(f"usual {usual * 1000:.0f} ms; added at most {[f'{s:.2f} s' for s in worst]}, of {len(added)} requests")
        await lab.verify()
    assert max(added) < ADDED_S + BUSY_S
    # Only those that met the beginning pay, or are the one that looks whether it is back.
    assert sorted(added)[len(added) * 8 // 10] < 0.1 + BUSY_S


async def shared_again(lab: Laboratory, client: AsyncOptimizer, name: str) -> None:
    """Wait until an answer comes from the cache, as it does with Redis."""
    for attempt in range(100):
        prompt = f"shared {name} {attempt}"
        await client.chat(prompt, timeout=30)
        lab.history.notes.append(note := type(lab.history.notes[-1])(client.agent, prompt, 30.0))
        reply = await client.chat(prompt, timeout=30)
        note.answered(reply.text, reply.backend)
        if reply.source == "cache":
            return
        await asyncio.sleep(0.1)
    raise AssertionError("no answer comes from the cache again")


@pytest.mark.fault(6)
async def test_frozen(lab: Laboratory, private_redis: PrivateRedis):
    """A Redis that stops answering costs a request less than half a second in all and later ones next to nothing; when
    it goes on answers are shared again."""
    await slow_at_every_moment(lab, private_redis, frozen, times=1, for_s=2.5)


@pytest.mark.slow
@pytest.mark.fault(6)
@pytest.mark.parametrize("slow", [client_paused, frozen, far_away, swallowed])
async def test_slow(lab: Laboratory, private_redis: PrivateRedis, slow):
    """The same at several moments, however Redis comes to be slow."""
    await slow_at_every_moment(lab, private_redis, slow, times=4, for_s=SLOW_FOR_S)


@pytest.mark.slow
@pytest.mark.fault(6)
async def test_a_little_slow(lab: Laboratory, private_redis: PrivateRedis):
    """A Redis with a round trip of 80 ms is used as it is: answers are shared, and a request pays for at most six
    round trips."""
    async with behind_a_proxy(lab, private_redis) as proxy:
        (client,) = await lab.clients(1)
        usual = sorted([await took(lab, client, f"usual {i}") for i in range(20)])[10]
        proxy.delay(0.04)
        slow = sorted([await took(lab, client, f"slow {i}") for i in range(30)])[15]
        fast = sorted([await took(lab, client, "slow 0") for _ in range(10)])[5]
        print(f"usual {usual * 1000:.0f} ms, with 80 ms {slow * 1000:.0f} ms, from the cache {fast * 1000:.0f} ms")
        findings = await lab.verify()
    assert findings.summary["calls"] == 50
    assert slow - usual < 6 * 0.08 + BUSY_S
