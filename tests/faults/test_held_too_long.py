"""Row 21, before RabbitMQ has to: nothing is kept unacked for long, however long it has to wait."""

import asyncio

import pytest
from tests.lab.laboratory import Laboratory, metric
from tests.support.stack import Running


def sent_back(coordinator: Running) -> float:
    """How many requests a coordinator has sent back to the end of their queue."""
    return metric(coordinator, "optimizer_coordinator_requests_total", label='"sent_back"')


@pytest.mark.fault(21)
@pytest.mark.slow
async def test_waiting_for_a_quota(lab: Laboratory):
    """A request that waits for a quota goes back to its queue in time, and is answered when there is room."""
    lab.stack.extra = "[waits]\nhold_s = 1.5\n[quotas]\nagent = { each = { count = 2, per_s = 6 } }\n"
    lab.simulate("alpha")
    await lab.start()
    (client,) = await lab.clients(1)
    for i in range(4):
        lab.ask(client, f"question {i}", 40)
    await asyncio.wait_for(lab.all(), 30)
    assert max(note.ended - note.asked for note in lab.history.notes) > 4.0
    assert sent_back(lab.of("coordinator")[0]) >= 2
    await lab.verify()


@pytest.mark.fault(21)
@pytest.mark.slow
async def test_waiting_for_budget(lab: Laboratory):
    """A call that waits for budget in a worker goes back to the end of its queue in time, and is made once."""
    lab.stack.extra = "[waits]\nhold_s = 1.5\n"
    sim = lab.simulate("alpha", limits={"rps": 1, "concurrency": 1})
    await lab.start()
    (client,) = await lab.clients(1)
    for i in range(8):
        lab.ask(client, f"question {i}", 60)
    await asyncio.wait_for(lab.all(), 40)
    await lab.verify()
    assert len(sim.calls()) == 8
