"""Row 2: a worker hangs (SIGSTOP) in mid-call, and wakes up when another one has done its work."""

import asyncio
import signal
import time

import psutil
import pytest
import redis
from tests.lab.laboratory import Laboratory
from tests.support.stack import Running, Simulated

from optimizer_state.flights import LEASE_MS
from optimizer_wire.session import HEARTBEAT_S

# RabbitMQ looks once in each heartbeat, and gives a connection up that it has not heard of at two looks in a row.
MOVED_S = 3 * HEARTBEAT_S + 5.0
ASLEEP_S = max(LEASE_MS / 1000, MOVED_S) + 3.0


def who_calls(lab: Laboratory, sim: Simulated) -> Running:
    """The worker that holds a connection to a backend."""
    port = int(sim.url.rsplit(":", 1)[1])
    for running in lab.of("worker"):
        connections = psutil.Process(running.process.pid).net_connections("tcp")
        if any(each.raddr and each.raddr.port == port for each in connections):
            return running
    raise AssertionError("no worker has a connection to the backend")


def outcomes(lab: Laboratory) -> dict[bytes, tuple]:
    """Which owner ended each flight, and with what."""
    with redis.Redis.from_url(lab.stack.redis_url) as client:
        keys = client.scan_iter(match=f"{lab.stack.prefix}:*:done:*", count=1000)
        return {key: tuple(client.hmget(key, "o", "blob")) for key in keys}


@pytest.mark.slow
@pytest.mark.fault(2)
@pytest.mark.parametrize("fails", [False, True], ids=["late answer", "late error"])
async def test_hung_worker(lab: Laboratory, fails: bool):
    """What a hung worker held is answered by another within three heartbeats; what it says later changes nothing."""
    sim = lab.simulate("alpha", {"latency": {"base_s": 1.5}, "fail": [503] if fails else []})
    await lab.start(workers=2)
    clients = await lab.clients(3)
    for client in clients:
        lab.ask(client, "the same", 60)
    await lab.until(sim.calls, "the call")
    victim = who_calls(lab, sim)
    at = time.monotonic()
    victim.process.send_signal(signal.SIGSTOP)
    try:
        await lab.all(MOVED_S)
        moved_s = time.monotonic() - at
        told = outcomes(lab)
        await asyncio.sleep(ASLEEP_S - moved_s)
    finally:
        victim.process.send_signal(signal.SIGCONT)
    lab.history.fault("SIGSTOP of the worker that calls", at, extra_calls=1)
    assert lab.history.count("answered") == len(clients), f"not answered within {MOVED_S:g} s"
    await lab.until(lambda: '"connection lost"' in victim.text(), "the worker's return")
    await lab.until(lambda: victim.text().count('"ready"') == 2, "its readiness")
    lab.ask(clients[0], "the same", 30)
    lab.ask(clients[0], "another", 30)
    await lab.all()

    assert outcomes(lab).items() >= told.items()
    assert len([call for call in lab.calls() if call.question == lab.history.notes[0].question]) == 2
    await lab.verify(service_s=1.5)
    print(f"answered {moved_s:.1f} s after the worker had hung")
