"""Row 3: a coordinator dies by kill -9 while many wait for the same answer."""

import asyncio
import time

import pytest
from tests.lab.laboratory import Laboratory

DUPLICATES = 50
STEPS = ("receive", "admit", "publish", "reply", "ack")


async def killed_at(lab: Laboratory, point: str, base_s: float, different: int) -> None:
    """A coordinator kills itself at a point, with duplicates, different requests and hits in flight."""
    lab.simulate("alpha", {"latency": {"base_s": base_s}})
    await lab.start(coordinators=1)
    clients = await lab.clients(5)
    lab.ask(clients[0], "stored", 30)
    await lab.all()
    since = time.monotonic()
    victim = lab.stack.coordinator(OPTIMIZER_CRASH_AT=point)
    await lab.ready(victim)
    for client in clients:
        for i in range(DUPLICATES // len(clients)):
            lab.ask(client, "the same", 60)
            lab.ask(client, "stored", 60)
            lab.ask(client, f"{client.agent} {i % different}", 60)
    await lab.kills.own_death(victim, since, extra_calls=0)
    await lab.all(75)
    await lab.verify(service_s=base_s)


@pytest.mark.fault(3)
async def test_killed_after_the_admission(lab: Laboratory):
    """A coordinator that dies with flights opened and no call published: all are answered, none is called twice."""
    await killed_at(lab, "coordinator.after_admit", base_s=0.3, different=2)


@pytest.mark.slow
@pytest.mark.fault(3)
@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step(lab: Laboratory, step: str):
    """A coordinator that dies at a step of a request loses none of 150, and makes nobody call twice."""
    await killed_at(lab, f"coordinator.after_{step}", base_s=1.0, different=10)


@pytest.mark.slow
@pytest.mark.fault(3)
async def test_the_only_coordinator_killed_in_mid_call(lab: Laboratory):
    """The only coordinator dies while all wait for a call: its worker answers them, the next coordinator new ones."""
    sim = lab.simulate("alpha", {"latency": {"base_s": 2.0}})
    await lab.start()
    clients = await lab.clients(5)
    for client in clients:
        for _ in range(DUPLICATES // len(clients)):
            lab.ask(client, "the same", 60)
    await lab.until(sim.calls, "the call")
    await lab.kills.kill(lab.of("coordinator")[0], extra_calls=0)
    for client in clients:
        lab.ask(client, "later", 60)
    await asyncio.sleep(1.0)
    await lab.ready(lab.stack.coordinator())
    await lab.all(75)
    await lab.verify(service_s=2.0)

    assert len(sim.calls()) == 2
