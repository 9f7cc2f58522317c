"""Row 8: a connection breaks in mid-call, and is there again a moment later."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from tests.lab.agents import KINDS, agent, settled
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy
from tests.support.servers import PrivateRabbitMQ

CALL_S = 1.2
WHO = ("client", "coordinator", "worker")


class Proxies:
    """A proxy before RabbitMQ for each kind of process."""

    def __init__(self, amqp_url: str, pool: ExitStack) -> None:
        parts = urlsplit(amqp_url)
        self.of = {who: pool.enter_context(TcpProxy(parts.hostname or "", parts.port or 5672)) for who in WHO}
        self.urls = {who: proxy.url_of(amqp_url) for who, proxy in self.of.items()}


@pytest.fixture
def proxies(amqp_url: str) -> Iterator[Proxies]:
    """Proxies before the RabbitMQ that all share."""
    with ExitStack() as pool:
        yield Proxies(amqp_url, pool)


@pytest.fixture
async def line(lab: Laboratory, proxies: Proxies) -> Laboratory:
    """A coordinator and two workers, behind the proxies."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    lab.stack.configure()
    workers = [lab.stack.worker("alpha", OPTIMIZER_AMQP_URL=proxies.urls["worker"]) for _ in range(2)]
    lab.stack.amqp_url = proxies.urls["coordinator"]
    await lab.start(workers=0)
    await lab.ready(*workers)
    return lab


async def in_mid_call(lab: Laboratory, asked: int) -> None:
    """Wait until so many calls have reached the backend."""
    await lab.until(lambda: len(lab.calls()) >= asked, f"{asked} calls")


async def blip(lab: Laboratory, proxies: Proxies, who: str) -> None:
    """Reset every connection of a kind of process. With Redis there, that may cost no further call."""
    at = time.monotonic()
    await asyncio.to_thread(proxies.of[who].reset)
    lab.history.fault(f"RST to the connections of {who}", at)


def ask_all(lab: Laboratory, clients: list, name: str, timeout_s: float = 30.0) -> None:
    """Questions of each client alone and of all together, and one that only its id keeps from being called twice."""
    for client in clients:
        for i in range(2):
            lab.ask(client, f"{name}: {client.agent} {i}", timeout_s)
            lab.ask(client, f"{name}: all {i}", timeout_s)
        lab.ask(client, f"{name}: {client.agent}, not cached", timeout_s, cache="off")


@pytest.mark.fault(8)
async def test_a_blip_in_mid_call(line: Laboratory, proxies: Proxies):
    """The connections of clients, coordinator and workers are reset in mid-call, one after the other: every request is
    answered, with one upstream call for each question."""
    clients = [await agent(line, kind, proxies.urls["client"]) for kind in KINDS]
    for number, who in enumerate(WHO, start=1):
        ask_all(line, clients, who)
        await in_mid_call(line, number * 8)
        await blip(line, proxies, who)

    await asyncio.wait_for(line.all(), 20)
    await settled(line)

    findings = await line.verify(service_s=CALL_S)
    assert findings.summary["answered"] == 30
    assert len(line.calls()) == 24


@pytest.mark.slow
@pytest.mark.fault(8)
async def test_connections_that_break_all_the_time(line: Laboratory, proxies: Proxies):
    """For 15 s the connections of one kind of process after the other are reset every half second or so, under load:
    every request is answered, with one upstream call for each question."""
    clients = [await agent(line, kind, proxies.urls["client"], name=f"{kind}-{i}") for kind in KINDS for i in range(2)]
    end, number = time.monotonic() + 15, 0
    while time.monotonic() < end:
        ask_all(line, clients, f"round {number}", 60)
        number += 1
        await asyncio.sleep(line.kills.dice.uniform(0.1, 0.9))
        await blip(line, proxies, line.kills.dice.choice(WHO))

    await asyncio.wait_for(line.all(), 60)
    await settled(line)

    findings = await line.verify(service_s=CALL_S)
    assert findings.summary["answered"] == number * 20
    assert len(line.calls()) == number * 14


@pytest.mark.slow
@pytest.mark.fault(8)
async def test_the_broker_closes_all_connections(lab: Laboratory, private_rabbitmq: PrivateRabbitMQ):
    """`rabbitmqctl close_all_connections` in mid-call, three times: every request is answered, with one upstream call
    for each question."""
    lab.stack.amqp_url = lab.amqp_url = private_rabbitmq.url
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    await lab.start(workers=2)
    clients = [await agent(lab, kind, private_rabbitmq.url) for kind in KINDS]
    for number in range(1, 4):
        ask_all(lab, clients, f"round {number}")
        await in_mid_call(lab, number * 8)
        at = time.monotonic()
        await asyncio.to_thread(private_rabbitmq.ctl, "close_all_connections", "test")
        lab.history.fault("close_all_connections", at)

    await asyncio.wait_for(lab.all(), 30)
    await settled(lab)

    findings = await lab.verify(service_s=CALL_S)
    assert findings.summary["answered"] == 30
    assert len(lab.calls()) == 24
