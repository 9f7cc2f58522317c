"""Row 7: the network between a client or a worker and RabbitMQ loses everything, and nobody is told."""

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.lab.agents import KINDS, agent, settled
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import Direction, TcpProxy

CALL_S = 1.5
HEARTBEAT_S = 2
# A busy machine needs a moment to do what was noticed. That what goes up is lost can only be told by a confirm that
# does not come, or by RabbitMQ, which takes up to three heartbeats.
NOTICED_S = {"both": 2 * HEARTBEAT_S + 1.0, "down": 2 * HEARTBEAT_S + 1.0, "up": 3 * HEARTBEAT_S + 1.0}
PARTITION_S = 7.0


@pytest.fixture
def proxy(amqp_url: str) -> Iterator[TcpProxy]:
    """A proxy before RabbitMQ, for those who are to be partitioned from it."""
    parts = urlsplit(amqp_url)
    with TcpProxy(parts.hostname or "", parts.port or 5672) as made:
        yield made


def with_heartbeat(url: str) -> str:
    """The URL with short heartbeats."""
    return f"{url}{'&' if '?' in url else '?'}heartbeat={HEARTBEAT_S}"


def ask_some(lab: Laboratory, clients: list, name: str, timeout_s: float = 40.0) -> None:
    """For each client a question of its own, one of all, and one that only its id keeps from being called twice."""
    for client in clients:
        lab.ask(client, f"{name}: {client.agent}", timeout_s)
        lab.ask(client, f"{name}: all", timeout_s)
        lab.ask(client, f"{name}: {client.agent}, not cached", timeout_s, cache="off")


@pytest.mark.slow
@pytest.mark.fault(7)
@pytest.mark.parametrize("direction", ["both", "up", "down"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_is_partitioned(lab: Laboratory, proxy: TcpProxy, kind: str, direction: Direction):
    """A client whose network loses one or both directions notices within two heartbeats (three, if it still hears), and
    all that it asked before and meanwhile is answered soon after the partition, with one upstream call for each."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    await lab.start()
    client = await agent(lab, kind, with_heartbeat(proxy.url_of(lab.amqp_url)), connect_timeout=30)
    ask_some(lab, [client], "before")
    await lab.until(lambda: len(lab.calls()) == 3, "3 calls")

    at = time.monotonic()
    proxy.partition(direction)
    ask_some(lab, [client], "meanwhile")
    await lab.until(lambda: not client.connected, "the client's notice", PARTITION_S)
    noticed_s = time.monotonic() - at
    await asyncio.sleep(max(0.0, at + PARTITION_S - time.monotonic()))
    proxy.heal()
    lab.history.fault(f"partition {direction}", at)
    healed = time.monotonic()
    await asyncio.wait_for(lab.all(), 30)

    print(f"noticed after {noticed_s:.1f} s, answered {time.monotonic() - healed:.1f} s after it")
    assert time.monotonic() - healed < 15
    assert noticed_s < NOTICED_S[direction]
    findings = await lab.verify(service_s=CALL_S)
    assert (findings.summary["answered"], findings.summary["calls"]) == (6, 6)


@pytest.mark.slow
@pytest.mark.fault(7)
@pytest.mark.parametrize("direction", ["both", "up", "down"])
async def test_a_worker_is_partitioned_in_mid_call(lab: Laboratory, proxy: TcpProxy, direction: Direction):
    """A worker loses RabbitMQ in mid-call and notices; another one gets its calls and makes none again: every
    request is answered while the partition lasts, with one upstream call for each question."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    lab.stack.configure()
    lonely = lab.stack.worker("alpha", OPTIMIZER_AMQP_URL=with_heartbeat(proxy.url_of(lab.amqp_url)))
    await lab.start(workers=0)
    await lab.ready(lonely)
    clients = [await agent(lab, kind, lab.amqp_url) for kind in KINDS]
    ask_some(lab, clients, "before")
    await lab.until(lambda: len(lab.calls()) == 5, "5 calls")

    at = time.monotonic()
    proxy.partition(direction)
    other = lab.stack.worker("alpha")
    await lab.ready(other)
    ask_some(lab, clients, "meanwhile")
    await asyncio.wait_for(lab.all(), 30)
    answered_s = time.monotonic() - at
    proxy.heal()
    lab.history.fault(f"partition {direction}", at)
    await settled(lab)

    print(f"answered after {answered_s:.1f} s")
    findings = await lab.verify(service_s=CALL_S)
    assert (findings.summary["answered"], findings.summary["calls"]) == (12, 10)


@pytest.mark.slow
@pytest.mark.fault(7)
async def test_a_coordinator_is_partitioned(lab: Laboratory, proxy: TcpProxy):
    """The only coordinator loses RabbitMQ for a while: what it had taken is answered after the partition, what was
    asked meanwhile too, with one upstream call for each question."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    lab.stack.configure()
    worker = lab.stack.worker("alpha")
    lab.stack.amqp_url = with_heartbeat(proxy.url_of(lab.amqp_url))
    await lab.start(workers=0)
    await lab.ready(worker)
    clients = [await agent(lab, kind, lab.amqp_url) for kind in KINDS]
    ask_some(lab, clients, "before")

    at = time.monotonic()
    proxy.partition()
    ask_some(lab, clients, "meanwhile")
    await asyncio.sleep(PARTITION_S)
    proxy.heal()
    lab.history.fault("partition", at)
    healed = time.monotonic()
    await asyncio.wait_for(lab.all(), 30)

    print(f"answered {time.monotonic() - healed:.1f} s after it")
    await settled(lab)
    findings = await lab.verify(service_s=CALL_S)
    assert (findings.summary["answered"], findings.summary["calls"]) == (12, 10)
