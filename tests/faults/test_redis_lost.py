"""Row 5: Redis dies, restarts, or forgets what it knew, its scripts or everything, under load."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import redis
from tests.lab.laboratory import Laboratory
from tests.support.judge import Limit
from tests.support.servers import PrivateRedis
from tests.support.stack import Running

COUNT, PER_S, CONCURRENCY = 20, 3.0, 6
LIMITS = {"short": {"count": COUNT, "per_s": PER_S}, "concurrency": CONCURRENCY}
WINDOW = Limit("short", "requests", COUNT, PER_S)
JUDGED = (WINDOW, Limit("concurrency", "concurrency", CONCURRENCY))
AGENTS = 4


def told(server: PrivateRedis, *words: str) -> None:
    """A command to this Redis, which may die of it."""
    with suppress(redis.ConnectionError), redis.Redis.from_url(server.url) as client:
        client.execute_command(*words)


async def flushed(lab: Laboratory, server: PrivateRedis) -> None:
    """FLUSHALL: flights, answers, budgets and scripts are gone, and Redis is there all the time."""
    await asyncio.to_thread(told, server, "FLUSHALL")
    lab.history.fault("FLUSHALL", extra_calls=1)


async def scripts_flushed(lab: Laboratory, server: PrivateRedis) -> None:
    """SCRIPT FLUSH, three times: nothing is lost but the scripts, and no further call is to come of it."""
    for _ in range(3):
        await asyncio.to_thread(told, server, "SCRIPT", "FLUSH")
        lab.history.fault("SCRIPT FLUSH")
        await asyncio.sleep(0.3)


async def shut_down(lab: Laboratory, server: PrivateRedis, away_s: float = 3.0) -> None:
    """SHUTDOWN NOSAVE, and the same Redis again after a while."""
    at = time.monotonic()
    await asyncio.to_thread(told, server, "SHUTDOWN", "NOSAVE")
    await asyncio.sleep(away_s)
    await asyncio.to_thread(server.restart)
    # Some notice the end of an outage a few seconds after the others.
    lab.history.fault(f"Redis away for {away_s:g} s", at, time.monotonic() + 5.0, extra_calls=math.inf)


async def restarted_empty(lab: Laboratory, server: PrivateRedis) -> None:
    """Redis is killed and comes back with nothing."""
    at = time.monotonic()
    await asyncio.to_thread(server.lose_data)
    lab.history.fault("Redis lost its data", at, time.monotonic() + 5.0, extra_calls=math.inf)


async def flushed_again_and_again(lab: Laboratory, server: PrivateRedis) -> None:
    """FLUSHALL every second."""
    for _ in range(6):
        await flushed(lab, server)
        await asyncio.sleep(1.0)


async def under_load(
    lab: Laboratory,
    server: PrivateRedis,
    mischief: Callable[[Laboratory, PrivateRedis], Awaitable[None]],
    *,
    for_s: float,
    timeout_s: float,
    settle_s: float = 0.0,
    coordinators: int = 2,
) -> None:
    """Identical and different requests, more than the backend allows, before, while and after Redis suffers.

    Who had joined a flight that Redis forgot is answered when its client asks again, after half of its time.
    """
    lab.stack.redis_url = server.url
    lab.simulate("alpha", {"latency": {"kind": "jitter", "base_s": 0.1, "spread_s": 0.5}}, limits=LIMITS)
    await lab.start(coordinators=coordinators, workers=2)
    fleet = await lab.clients(AGENTS)
    end, number = time.monotonic() + for_s, 0

    async def load() -> None:
        nonlocal number
        while time.monotonic() < end:
            number += 1
            for client in fleet[: 1 + number % AGENTS]:
                lab.ask(client, f"question {number}", timeout_s)
            await asyncio.sleep(0.12)

    loading = asyncio.ensure_future(load())
    await asyncio.sleep(1.2)
    await mischief(lab, server)
    await loading
    await lab.all()
    # A copy of a call that was published again may still wait for budget, to find then that it was answered.
    await asyncio.sleep(settle_s)
    findings = await lab.verify(limits=JUDGED, service_s=0.6)
    print(findings.summary)
    assert findings.summary["answered"] == findings.summary["requests"]


@pytest.mark.fault(5)
async def test_flushed(lab: Laboratory, private_redis: PrivateRedis):
    """FLUSHALL with calls in flight: every request is answered, with at most one further call of each question, and no
    window of the budget holds more than its limit."""
    await under_load(lab, private_redis, flushed, for_s=1.8, timeout_s=5.0, coordinators=1)


@pytest.mark.slow
@pytest.mark.fault(5)
@pytest.mark.parametrize(
    ("mischief", "for_s"),
    [(scripts_flushed, 5.0), (shut_down, 12.0), (restarted_empty, 8.0), (flushed_again_and_again, 10.0)],
    ids=["script flush", "shutdown", "data lost", "flushed again and again"],
)
async def test_lost(lab: Laboratory, private_redis: PrivateRedis, mischief, for_s: float):
    """Redis loses its scripts, its life or its data: every request is answered, calls are shared again as soon as Redis
    is there, and no window of the budget holds more than its limit, neither meanwhile nor afterwards."""
    await under_load(lab, private_redis, mischief, for_s=for_s, timeout_s=30.0, settle_s=PER_S + 1.0)


@pytest.mark.slow
@pytest.mark.fault(5)
async def test_a_worker_that_never_saw_redis(lab: Laboratory, private_redis: PrivateRedis):
    """Processes that start while Redis is away serve by the share of `max_workers`, and take up the budget with Redis:
    the window holds all the time."""
    lab.stack.redis_url = private_redis.url
    lab.simulate("alpha", {"latency": {"base_s": 0.2}}, limits=LIMITS, max_workers=2)
    await asyncio.to_thread(lab._lay_trail)
    lab.stack.configure()
    at = time.monotonic()
    await asyncio.to_thread(private_redis.stop)
    started: list[Running] = [lab.stack.worker("alpha") for _ in range(2)] + [lab.stack.coordinator()]
    await lab.ready(*started)
    (client,) = await lab.clients(1)
    for i in range(60):
        lab.ask(client, f"question {i}", 60)
    await asyncio.sleep(7.0)
    without = len(lab.calls())
    await asyncio.to_thread(private_redis.start)
    lab.history.fault("Redis away from the start", at, time.monotonic() + 5.0, extra_calls=math.inf)
    await asyncio.wait_for(lab.all(), 60)

    findings = await lab.verify(limits=JUDGED, service_s=0.2)
    print(f"{without} calls without Redis", findings.summary)
    assert without >= 2 * (COUNT // 2) // 2
    assert findings.summary["answered"] == 60
