"""Row 17: a queue is full and RabbitMQ refuses what is published there."""

import asyncio
import math
import re

import pytest
from tests.lab.broker import max_length
from tests.lab.history import Note
from tests.lab.laboratory import Laboratory

from optimizer_wire.messages import Priority

ROOM = 10
REFUSED = "overloaded"


async def refused(lab: Laboratory, queue: str, name: str) -> list[Note]:
    """Fill a queue that nobody takes from, then ask for more: the notes of what was asked then, all ended."""
    clients = await lab.clients(2)
    for i in range(ROOM + 2):
        lab.ask(clients[0], f"{name}: to fill it {i}", 40)
    # RabbitMQ tells those who publish a moment later, so that it may hold a little more than it should.
    await lab.until(lambda: lab.queued()[queue] >= ROOM, "the full queue")
    await asyncio.sleep(0.2)
    before = len(lab.history.notes)
    for i in range(ROOM):
        for client in clients:
            lab.ask(client, f"{name}: too many {i}", 40)
    late = lab.history.notes[before:]
    await lab.until(lambda: all(note.ended < math.inf for note in late), "the refusals", 5.0)
    return late


@pytest.mark.fault(17)
async def test_queues_are_full(lab: Laboratory, private_rabbitmq):
    """With full queues a request is refused as overloaded within a second, its joiners too; the others are answered."""
    lab.stack.amqp_url = lab.amqp_url = private_rabbitmq.url
    lab.simulate("alpha")
    await lab.start()
    with max_length(private_rabbitmq, f"^{re.escape(lab.stack.prefix)}\\.(calls\\.|requests)", ROOM):
        # Nobody takes calls, and the worker is not yet known to be gone.
        await lab.kills.kill(lab.of("worker")[0])
        late = await refused(lab, lab.names.call_queue("alpha", Priority.STANDARD), "calls")
        await lab.ready(lab.stack.worker("alpha"))
        await asyncio.wait_for(lab.all(), 30)
        await lab.kills.kill(lab.of("coordinator")[0])
        late += await refused(lab, lab.names.requests, "requests")
        await lab.ready(lab.stack.coordinator())
        await asyncio.wait_for(lab.all(), 30)

    assert {note.outcome for note in late} == {REFUSED}
    assert max(note.ended - note.asked for note in late) < 1.0
    assert lab.history.count("answered") >= 2 * ROOM
    await lab.verify(allowed=[REFUSED])
