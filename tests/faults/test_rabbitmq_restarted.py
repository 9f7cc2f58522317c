"""Row 4: RabbitMQ stops and starts again, in order or by kill -9, once or again and again."""

import asyncio
import time

import pytest
from tests.lab.history import PENDING
from tests.lab.laboratory import Laboratory

RESUMED_S = 15.0
# RabbitMQ 3.10 writes down half a second later that it has a new quorum queue (Ra's directory of servers). One that it
# forgot by kill -9 never gets a leader, and nobody an answer from it, until it is deleted and declared again.
WRITTEN_DOWN_S = 2.0


async def stop(server, how: str) -> None:
    """Take it away."""
    if how == "stop_app":
        await asyncio.to_thread(server.ctl, "stop_app")
    else:
        await asyncio.to_thread(server.kill if how == "kill -9" else server.stop)


async def start(server, how: str) -> None:
    """Bring it back; returns when it answers."""
    if how == "stop_app":
        await asyncio.to_thread(server.ctl, "start_app")
    else:
        await asyncio.to_thread(server.start)


def pending(lab: Laboratory) -> list[str]:
    """What has not ended yet."""
    return [note.prompt for note in lab.history.notes if note.outcome == PENDING]


async def outages(lab: Laboratory, server, hows: list[str], away_s: float) -> None:
    """Requests all the time, through outages of different kinds; after each, an answer within 15 s."""
    lab.stack.amqp_url = lab.amqp_url = server.url
    lab.simulate("alpha", {"latency": {"base_s": 0.3}})
    await lab.start(coordinators=2, workers=2)
    clients = await lab.clients(3, connect_timeout=60.0)
    await asyncio.sleep(WRITTEN_DOWN_S)
    for number, how in enumerate(hows):
        for client in clients:
            for i in range(5):
                lab.ask(client, f"before {number}.{i} of {client.agent if i % 2 else 'all'}", 90)
        await asyncio.sleep(0.2)
        at = time.monotonic()
        await stop(server, how)
        for client in clients:
            lab.ask(client, f"meanwhile {number} {client.agent}", 90)
        await asyncio.sleep(away_s)
        await start(server, how)
        back = time.monotonic()
        lab.history.fault(f"RabbitMQ: {how}", at, back, extra_calls=1, away=["*"])
        await lab.until(lambda: not pending(lab), "all answers", RESUMED_S)
        # New requests too, by every client.
        for client in clients:
            lab.ask(client, f"after {number} {client.agent}", 60)
        await lab.until(lambda: not pending(lab), "new answers", max(0.1, back + RESUMED_S - time.monotonic()))
    assert [each.name for each in lab.stack.running if each.process.poll() is not None] == []
    await lab.verify(service_s=0.3)


@pytest.mark.fault(4)
@pytest.mark.slow
@pytest.mark.parametrize("how", ["restart", "kill -9", "stop_app"])
async def test_one_outage(lab: Laboratory, private_rabbitmq, how: str):
    """After an outage of 10 s every request is answered within 15 s, those too that were confirmed before it."""
    await outages(lab, private_rabbitmq, [how], 10.0)


@pytest.mark.fault(4)
@pytest.mark.slow
async def test_several_outages_in_a_row(lab: Laboratory, private_rabbitmq):
    """The same through several outages of different kinds, one after another."""
    await outages(lab, private_rabbitmq, ["kill -9", "restart", "stop_app", "kill -9"], 2.0)
