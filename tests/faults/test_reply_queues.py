"""Rows 10 and 11: the queue on which a client awaits its replies is gone, for a while or with the client for good."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest
from tests.lab.agents import KINDS, Copies, agent, counted_by_coordinators, settled
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import Filter, TcpProxy

CALL_S = 1.0
_BASIC_CANCEL = b"\x00\x3c\x00\x1e"
_FRAME_ENDS = 8


@pytest.fixture
def proxy(amqp_url: str) -> Iterator[TcpProxy]:
    """A proxy before RabbitMQ, for clients."""
    parts = urlsplit(amqp_url)
    with TcpProxy(parts.hostname or "", parts.port or 5672) as made:
        yield made


async def line(lab: Laboratory) -> Copies:
    """A coordinator and a worker, before a backend that takes a second; the copies of their requests."""
    lab.simulate("alpha", {"latency": {"base_s": CALL_S}}, limits={"concurrency": 50})
    await lab.start()
    return await Copies(lab).watch(lab.pool)


def ask_some(lab: Laboratory, clients: list, name: str, timeout_s: float = 30.0) -> None:
    """For each client a question of its own, one of all, and one that only its id keeps from being called twice."""
    for client in clients:
        lab.ask(client, f"{name}: {client.agent}", timeout_s)
        lab.ask(client, f"{name}: all", timeout_s)
        lab.ask(client, f"{name}: {client.agent}, not cached", timeout_s, cache="off")


async def in_mid_call(lab: Laboratory, count: int) -> None:
    """Wait until so many calls have begun."""
    await lab.until(lambda: len(lab.calls()) >= count, f"{count} calls")


async def delete(lab: Laboratory, *queues: str) -> None:
    """Delete queues from the side."""

    def deleted() -> None:
        with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
            for queue in queues:
                connection.channel().queue_delete(queue)

    at = time.monotonic()
    await asyncio.to_thread(deleted)
    lab.history.fault(f"deleted {', '.join(queues)}", at)


async def ended(lab: Laboratory) -> None:
    """Wait until all calls have been answered by the backend, and the workers have told so."""
    await lab.until(lambda: all(call.end is not None for call in lab.calls()), "the end of the calls")
    await settled(lab)


@pytest.mark.fault(10)
async def test_deleted_while_waiting(lab: Laboratory, proxy: TcpProxy):
    """A reply queue is deleted in mid-call, first under the client's eyes, then while its connection is down and
    replies come: every request is answered, the latter from the store, with one upstream call for each question."""
    copies = await line(lab)
    clients = [await agent(lab, kind, proxy.url_of(lab.amqp_url)) for kind in KINDS]

    ask_some(lab, clients, "watched")
    await in_mid_call(lab, 5)
    await delete(lab, *[await copies.reply_queue(client.agent) for client in clients])
    await lab.all()

    ask_some(lab, clients, "away")
    await in_mid_call(lab, 10)
    proxy.refuse()
    proxy.reset()
    await delete(lab, *[await copies.reply_queue(client.agent) for client in clients])
    await ended(lab)
    proxy.heal()
    await asyncio.wait_for(lab.all(), 10)

    assert set((await copies.of_each()).values()) == {2}
    findings = await lab.verify(service_s=CALL_S)
    assert findings.summary["answered"] == 12
    assert findings.summary["calls"] == 10


@pytest.mark.slow
@pytest.mark.fault(10)
async def test_expired_while_away(lab: Laboratory, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch):
    """A reply queue expires while its client's connection is down, with the replies in it: they come from the store on
    a new queue, with one upstream call for each question."""
    monkeypatch.setattr("optimizer_wire.topology.REPLY_EXPIRES_MS", 1_000)
    copies = await line(lab)
    clients = [await agent(lab, kind, proxy.url_of(lab.amqp_url)) for kind in KINDS]
    ask_some(lab, clients, "expired")
    await in_mid_call(lab, 5)
    at = time.monotonic()
    proxy.refuse()
    proxy.reset()
    queues = [await copies.reply_queue(client.agent) for client in clients]
    await ended(lab)
    await lab.until(lambda: not any(exists(lab, queue) for queue in queues), "the end of the reply queues")
    proxy.heal()
    lab.history.fault("the reply queues expired", at)

    await asyncio.wait_for(lab.all(), 10)

    assert counted_by_coordinators(lab, "known") + counted_by_coordinators(lab, "hit") == 6
    findings = await lab.verify(service_s=CALL_S)
    assert findings.summary["answered"] == 6
    assert findings.summary["calls"] == 5


@pytest.mark.slow
@pytest.mark.fault(10)
@pytest.mark.parametrize("kind", KINDS)
async def test_deleted_without_a_word(lab: Laboratory, proxy: TcpProxy, kind: str):
    """A client that is not told that its reply queue was deleted finds out after half of a request's time, and gets the
    answer from the store."""
    copies = await line(lab)
    proxy.filter(without_cancels, "down")
    client = await agent(lab, kind, proxy.url_of(lab.amqp_url))
    ask_some(lab, [client], "unsaid", 8.0)
    await in_mid_call(lab, 3)
    await delete(lab, await copies.reply_queue(client.agent))
    accepted = proxy.accepted
    await ended(lab)
    assert proxy.accepted == accepted

    await asyncio.wait_for(lab.all(), 10)

    findings = await lab.verify(service_s=CALL_S)
    assert findings.summary["answered"] == 3
    assert findings.summary["calls"] == 3


@pytest.mark.slow
@pytest.mark.fault(11)
@pytest.mark.fault(12)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_is_gone_for_good(lab: Laboratory, tmp_path: Path, kind: str):
    """A client is killed with 300 requests on their way, and its reply queue deleted: all are called once, their
    results kept for the same agent under the same ids or questions, and no process crashes or grows."""
    lab.simulate("alpha", {"latency": {"base_s": 0.5}}, limits={"concurrency": 50})
    await lab.start()
    copies = await Copies(lab).watch(lab.pool)
    before = {(each.name, each.process.pid): resident_mib(each.process.pid) for each in lab.of("")}
    doomed = subprocess.Popen([sys.executable, "-c", _DOOMED[kind]], env=lab.stack.environment())
    try:
        await in_mid_call(lab, 20)
    finally:
        doomed.kill()
        doomed.wait(10)
    await delete(lab, await copies.reply_queue("doomed"))
    await lab.until(lambda: len(lab.calls()) == 300, "all calls")
    await ended(lab)
    events = lab.events()

    heir = await agent(lab, kind, lab.amqp_url, name="doomed")
    for i in range(300):
        lab.ask(heir, f"question {i}", 20, request_id=f"id-{i}", **({"cache": "off"} if i % 2 else {}))
    await asyncio.wait_for(lab.all(), 20)

    assert len({event["id"] for event in events if event["type"] == "optimizer.call.finished"}) == 300
    grown = {name: resident_mib(pid) - mib for (name, pid), mib in before.items()}
    print(grown)
    assert max(grown.values()) < 30
    findings = await lab.verify(service_s=CALL_S)
    assert findings.summary["answered"] == findings.summary["calls"] == 300


def exists(lab: Laboratory, queue: str) -> bool:
    """Whether there is such a queue."""
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        try:
            connection.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker:
            return False
        return True


def without_cancels() -> Filter:
    """Takes out of a stream of AMQP frames those with which the broker ends a consumer."""
    pending = b""

    def passed(data: bytes) -> bytes:
        nonlocal pending
        pending += data
        kept = b""
        while len(pending) >= _FRAME_ENDS:
            size = int.from_bytes(pending[3:7], "big") + _FRAME_ENDS
            if len(pending) < size:
                break
            frame, pending = pending[:size], pending[size:]
            if not (frame[0] == 1 and frame[7:11] == _BASIC_CANCEL):
                kept += frame
        return kept

    return passed


def resident_mib(pid: int) -> float:
    """The memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


_ASKS = """
asked = [
    optimizer.{ask}(f"question {{i}}", request_id=f"id-{{i}}", timeout=60, cache="off" if i % 2 else "use")
    for i in range(300)
]
"""
_DOOMED = {
    "blocking": "import time\nfrom optimizer_client import Optimizer\noptimizer = Optimizer('doomed')\n"
    + _ASKS.format(ask="chat_future")
    + "time.sleep(60)\n",
    "asyncio": "import asyncio\nfrom optimizer_client import AsyncOptimizer\n"
    "async def main():\n"
    "    optimizer = AsyncOptimizer('doomed')\n"
    "    await asyncio.gather(*["
    "optimizer.chat(f'question {i}', request_id=f'id-{i}', timeout=60, cache='off' if i % 2 else 'use')"
    " for i in range(300)])\n"
    "asyncio.run(main())\n",
}
