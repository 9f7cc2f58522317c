"""Row 6: one process loses Redis, or finds it slow, while the others have it."""

import asyncio
import math
import time
from collections.abc import Callable

import pytest
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy
from tests.support.judge import Limit, violations
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


@pytest.mark.slow
@pytest.mark.fault(6)
async def test_a_worker_that_came_later(lab: Laboratory, private_redis: PrivateRedis):
    """A worker without Redis serves by its share when its only mate has died, and stops when another one with Redis
    comes, which it cannot know: every request is answered, and no window is exceeded from two seconds later on."""
    address = parse(private_redis.url)
    with TcpProxy(address.host, address.port) as proxy:
        lab.stack.redis_url = private_redis.url
        limits = {"short": {"count": COUNT, "per_s": PER_S}, "concurrency": 30}
        lab.simulate("alpha", {"latency": {"base_s": 0.1}}, limits=limits)
        lab.stack.configure()
        odd = lab.stack.worker("alpha", OPTIMIZER_REDIS_URL=proxy.url_of(private_redis.url))
        await lab.start(coordinators=1, workers=1)
        await lab.ready(odd)
        fleet = await lab.clients(AGENTS)
        asking = asyncio.ensure_future(ask(lab, fleet, 22.0))
        # They know of each other.
        await asyncio.sleep(2.0)
        begun = time.monotonic()
        proxy.partition()
        await asyncio.sleep(2.0)
        (mate,) = [worker for worker in lab.of("worker/alpha") if worker is not odd]
        await lab.kills.kill(mate)
        before = len(lab.calls())
        await asyncio.sleep(6.0)
        alone = len(lab.calls()) - before
        await lab.ready(lab.stack.worker("alpha"))
        came = time.monotonic()
        await asking
        proxy.heal()
        lab.history.fault("worker without Redis", begun, time.monotonic() + 5.0, extra_calls=math.inf)
        await lab.all(90)
        try:
            # What was used alone the new worker does not know.
            findings = await lab.verify(service_s=0.1)
        finally:
            await asyncio.to_thread(odd.stop)
    print(f"{alone} calls in 6 s alone", findings.summary)
    assert alone >= 5
    assert not violations([call for call in lab.calls() if call.start < came], JUDGED[:1])
    assert not violations([call for call in lab.calls() if call.start > came + 2.0], JUDGED[:1])
    assert findings.summary["answered"] == findings.summary["requests"]
