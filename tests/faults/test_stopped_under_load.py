"""Row 24: processes are asked to stop (SIGTERM) while they have work: scaling down, a new version."""

import asyncio
import time

import pytest
from tests.lab.laboratory import Laboratory

DRAIN_S = 25.0
FAILURES = {"optimizer.call.failed", "optimizer.error", "optimizer.retry", "optimizer.circuit_breaker.open"}


async def ask_for(lab: Laboratory, for_s: float, every_s: float) -> None:
    """A steady load of identical and different questions."""
    clients = await lab.clients(4)
    end, i = time.monotonic() + for_s, 0
    while time.monotonic() < end:
        for client in clients:
            lab.ask(client, f"shared {i}" if i % 2 else f"{client.agent} {i}", 60)
        i += 1
        await asyncio.sleep(every_s)


@pytest.mark.slow
@pytest.mark.fault(24)
async def test_stopped_under_load(lab: Laboratory):
    """Half of the workers and coordinators stop under load within 25 s: nothing is lost, repeated or a failure."""
    lab.simulate("alpha", {"latency": {"kind": "jitter", "base_s": 0.3, "spread_s": 1.0}}, limits={"concurrency": 20})
    await lab.start(coordinators=2, workers=2)
    leaving = [lab.of("worker")[0], lab.of("coordinator")[0]]
    loading = asyncio.ensure_future(ask_for(lab, 6.0, 0.1))
    await asyncio.sleep(2.0)
    started = time.monotonic()
    codes = await asyncio.gather(*(asyncio.to_thread(running.stop) for running in leaving))
    took_s = time.monotonic() - started
    await loading
    await lab.all()

    assert codes == [0, 0]
    assert took_s < DRAIN_S
    assert not [event for event in await asyncio.to_thread(lab.events) if event["type"] in FAILURES]
    await lab.verify(service_s=1.3)
    print(f"stopped within {took_s:.1f} s")


@pytest.mark.slow
@pytest.mark.fault(24)
async def test_stopped_with_a_call_that_takes_too_long(lab: Laboratory):
    """A worker whose call lasts longer than it may take to stop leaves in time and hands it back to others."""
    drain_s = 2.0
    lab.stack.extra = f"[waits]\ndrain_s = {drain_s}\n"
    sim = lab.simulate("alpha", {"latency": {"base_s": 6.0}})
    await lab.start(workers=1)
    (client,) = await lab.clients(1)
    lab.ask(client, "long", 60)
    await lab.until(sim.calls, "the call")
    leaving = lab.of("worker")[0]
    await lab.ready(lab.stack.worker("alpha"))
    at = time.monotonic()
    code = await asyncio.to_thread(leaving.stop)
    took_s = time.monotonic() - at
    lab.history.fault("SIGTERM, and the call took longer than that allows", at, extra_calls=1)
    await lab.all()

    assert code == 0
    assert took_s < drain_s + 3.0
    assert not [event for event in await asyncio.to_thread(lab.events) if event["type"] in FAILURES]
    await lab.verify(service_s=6.0)
