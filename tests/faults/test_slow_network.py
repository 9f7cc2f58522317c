"""Row 9: the network between RabbitMQ and everybody is slow, uneven, or passes one byte at a time."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from tests.lab.agents import KINDS, Copies, agent, counted_by_coordinators, settled
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy

CALL_S = 0.2
SLOW_BYTES_PER_S = 32 * 1024


@pytest.fixture
def proxy(amqp_url: str) -> Iterator[TcpProxy]:
    """A proxy before RabbitMQ, for all."""
    parts = urlsplit(amqp_url)
    with TcpProxy(parts.hostname or "", parts.port or 5672) as made:
        yield made


def far_away(proxy: TcpProxy) -> None:
    """Round trips of 300 ms."""
    proxy.delay(0.15)


def uneven(proxy: TcpProxy) -> None:
    """Round trips of 100 to 500 ms."""
    proxy.delay(0.15, jitter_s=0.1)


def byte_by_byte(proxy: TcpProxy) -> None:
    """One byte at a time."""
    proxy.slice(1)


def narrow(proxy: TcpProxy) -> None:
    """32 KiB a second in each direction of each connection."""
    proxy.throttle(SLOW_BYTES_PER_S)


@pytest.mark.slow
@pytest.mark.fault(9)
@pytest.mark.parametrize("network", [far_away, uneven, byte_by_byte, narrow])
async def test_a_slow_network(lab: Laboratory, proxy: TcpProxy, network):
    """On a bad network between RabbitMQ and all others every request is answered, sent once by its client, and called
    once for each question."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    lab.stack.amqp_url = proxy.url_of(lab.amqp_url)
    await lab.start()
    copies = await Copies(lab).watch(lab.pool)
    clients = [await agent(lab, kind, lab.stack.amqp_url) for kind in KINDS]
    network(proxy)
    for i in range(10):
        for client in clients:
            lab.ask(client, f"{client.agent} {i}", 20.0)
            lab.ask(client, f"all {i}", 20.0)
            lab.ask(client, f"{client.agent} {i}, not cached", 20.0, cache="off")
        await asyncio.sleep(0.2)

    await asyncio.wait_for(lab.all(), 20)

    latest_s = max(note.ended - note.asked for note in lab.history.notes)
    print(f"the slowest took {latest_s:.1f} s; {proxy.accepted} connections")
    assert set((await copies.of_each()).values()) == {1}
    assert counted_by_coordinators(lab, "resubmitted") == counted_by_coordinators(lab, "known") == 0
    await settled(lab)
    proxy.heal()
    findings = await lab.verify(service_s=CALL_S)
    assert (findings.summary["answered"], findings.summary["calls"]) == (60, 50)


@pytest.mark.slow
@pytest.mark.fault(9)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_large_request_on_a_narrow_line(lab: Laboratory, proxy: TcpProxy, kind: str):
    """A request that takes more than half of its time to be sent keeps its connection, and goes out only once."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    await lab.start()
    copies = await Copies(lab).watch(lab.pool)
    client = await agent(lab, kind, proxy.url_of(lab.amqp_url))
    proxy.throttle(SLOW_BYTES_PER_S, "up")

    lab.ask(client, "long " * (SLOW_BYTES_PER_S * 18 // 5), 30.0)
    await asyncio.wait_for(lab.all(), 30)

    (note,) = lab.history.notes
    print(f"answered after {note.ended - note.asked:.1f} s")
    assert note.ended - note.asked > 16
    # Whatever else went out before this comes before it.
    proxy.heal()
    lab.ask(client, "short", 30.0)
    await lab.all()
    assert proxy.accepted == 1
    assert set((await copies.of_each()).values()) == {1}
    await lab.verify(service_s=CALL_S)
