"""Row 18: RabbitMQ is low on memory: it reads nothing from whoever publishes, until the alarm is over."""

import asyncio

import pytest
from tests.lab.broker import memory_alarm
from tests.lab.laboratory import Laboratory


async def through_an_alarm(lab: Laboratory, server, for_s: float) -> None:
    """Requests before, in and after an alarm of so many seconds."""
    lab.stack.amqp_url = lab.amqp_url = server.url
    lab.stack.extra = "[waits]\nself_check_s = 0.5\n"
    sim = lab.simulate("alpha", {"latency": {"base_s": 1.0}})
    await lab.start(coordinators=2)
    (client,) = await lab.clients(1)
    lab.ask(client, "asked before the alarm", 90)
    await lab.until(lambda: len(sim.calls()) == 1, "the call")
    begun = asyncio.get_running_loop().time()
    with memory_alarm(server) as over:
        lab.ask(client, "asked in the alarm, with time", 90)
        lab.ask(client, "asked in the alarm, with little time", 2.0)
        for process in (*lab.of("coordinator"), *lab.of("worker")):
            words = await lab.until(lambda p=process: p.degraded().get("rabbitmq"), f"what {process.name} says")
            assert "low on memory" in words
        await asyncio.sleep(max(0.0, begun + for_s - asyncio.get_running_loop().time()))
        hasty = lab.history.notes[2]
        assert hasty.outcome == "deadline_exceeded"
        assert hasty.ended - hasty.asked < 3.0
        assert "low on memory" in hasty.message
        await asyncio.to_thread(over)
    lab.history.fault("RabbitMQ takes no messages", at=begun, until=asyncio.get_running_loop().time(), away=["*"])
    lab.ask(client, "asked after the alarm", 30)
    await asyncio.wait_for(lab.all(), 15)
    for process in lab.stack.running:
        assert process.process.poll() is None
        # Nobody began anew: what was on its way stayed there.
        assert process.text().count('"event": "ready"') <= 1
    for process in (*lab.of("coordinator"), *lab.of("worker")):
        assert process.degraded() == {}
    await lab.verify(service_s=1.0)


@pytest.mark.fault(18)
@pytest.mark.slow
async def test_memory_alarm(lab: Laboratory, private_rabbitmq):
    """In an alarm publishing fails at its deadline with the reason, and everything else is answered after it."""
    await through_an_alarm(lab, private_rabbitmq, 5.0)


@pytest.mark.fault(18)
@pytest.mark.slow
async def test_long_memory_alarm(lab: Laboratory, private_rabbitmq):
    """An alarm of more than two heartbeats is not taken for a dead connection."""
    await through_an_alarm(lab, private_rabbitmq, 35.0)


@pytest.mark.fault(18)
@pytest.mark.slow
async def test_stopping_in_an_alarm(lab: Laboratory, private_rabbitmq):
    """A process that is asked to stop in an alarm does so within its time; what it held is answered after the alarm."""
    lab.stack.amqp_url = lab.amqp_url = private_rabbitmq.url
    lab.stack.extra = "[waits]\nself_check_s = 0.5\ndrain_s = 5\n"
    sim = lab.simulate("alpha", {"latency": {"base_s": 1.0}})
    await lab.start()
    (client,) = await lab.clients(1)
    lab.ask(client, "held", 60)
    await lab.until(lambda: len(sim.calls()) == 1, "the call")
    with memory_alarm(private_rabbitmq) as over:
        worker = lab.of("worker")[0]
        await lab.until(lambda: worker.degraded().get("rabbitmq"), "the alarm")
        assert await asyncio.to_thread(worker.stop, 12.0) == 0
        await lab.ready(lab.stack.worker("alpha"))
        await asyncio.to_thread(over)
    await asyncio.wait_for(lab.all(), 30)
    await lab.verify(service_s=1.0)
    assert len(sim.calls()) == 1
