"""Row 6: one process loses Redis, or finds it slow, while the others have it."""

import asyncio
import math
import time
from collections.abc import Callable

import pytest
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy
from tests.support.judge import Limit
from tests.support.servers import PrivateRedis

from optimizer_ops.services.urls import parse

COUNT, PER_S, CONCURRENCY = 30, 3.0, 8
JUDGED = (Limit("short", "requests", COUNT, PER_S), Limit("concurrency", "concurrency", CONCURRENCY))
AWAY_S = 8.0
AGENTS = 4


def cut(proxy: TcpProxy) -> None:
    """Nothing passes."""
    proxy.partition()


def slow(proxy: TcpProxy) -> None:
    """An answer takes longer than a process waits for one."""
    proxy.delay(0.15)


@pytest.mark.slow
@pytest.mark.fault(6)
@pytest.mark.parametrize("trouble", [cut, slow])
@pytest.mark.parametrize("kind", ["worker", "coordinator"])
async def test_one_process_without_redis(
    lab: Laboratory, private_redis: PrivateRedis, kind: str, trouble: Callable[[TcpProxy], None]
):
    """One of two workers or coordinators is without Redis under more load than the backend allows: every request is
    answered, and no window and no concurrency of the budget is exceeded, for those with Redis leave nothing over."""
    address = parse(private_redis.url)
    with TcpProxy(address.host, address.port) as proxy:
        lab.stack.redis_url = private_redis.url
        limits = {"short": {"count": COUNT, "per_s": PER_S}, "concurrency": CONCURRENCY}
        lab.simulate("alpha", {"latency": {"kind": "jitter", "base_s": 0.2, "spread_s": 0.6}}, limits=limits)
        lab.stack.configure()
        environment = {"OPTIMIZER_REDIS_URL": proxy.url_of(private_redis.url)}
        odd = lab.stack.worker("alpha", **environment) if kind == "worker" else lab.stack.coordinator(**environment)
        await lab.start(coordinators=1 + (kind == "worker"), workers=1 + (kind == "coordinator"))
        await lab.ready(odd)
        fleet = await lab.clients(AGENTS)
        begun = time.monotonic()
        asking = asyncio.ensure_future(ask(lab, fleet, AWAY_S + 4.0))
        await asyncio.sleep(2.0)
        trouble(proxy)
        await asyncio.sleep(AWAY_S)
        proxy.heal()
        # Requests of those without Redis are not shared.
        lab.history.fault(f"{kind} without Redis", begun, time.monotonic() + 5.0, extra_calls=math.inf)
        await asking
        await lab.all(90)
        try:
            findings = await lab.verify(limits=JUDGED, service_s=0.8)
        finally:
            await asyncio.to_thread(odd.stop)
    print(findings.summary)
    assert findings.summary["answered"] == findings.summary["requests"]


async def ask(lab: Laboratory, fleet: list, for_s: float) -> None:
    """Identical and different requests."""
    end, number = time.monotonic() + for_s, 0
    while time.monotonic() < end:
        number += 1
        for client in fleet if number % 3 == 0 else [fleet[number % AGENTS]]:
            lab.ask(client, f"question {number}", 60)
        await asyncio.sleep(0.07)
