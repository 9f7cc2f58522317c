"""Row 22: a process is connected to RabbitMQ, and gets nothing."""

import asyncio

import pytest
from tests.lab.broker import DeliveryEater
from tests.lab.laboratory import Laboratory
from tests.lab.proxy import TcpProxy

from optimizer_ops.services.urls import parse

WAITS = "[waits]\nself_check_s = 0.5\ndrain_s = 10\n"


@pytest.mark.fault(22)
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["worker", "coordinator"])
async def test_deliveries_vanish(lab: Laboratory, kind: str):
    """A process that gets nothing any more leaves with 70 and says why; another one does what it had not got."""
    lab.stack.extra = WAITS
    lab.simulate("alpha", {"latency": {"base_s": 0.5}})
    await lab.start(workers=1)
    (client,) = await lab.clients(1)
    eater, server = DeliveryEater(), parse(lab.amqp_url)
    with TcpProxy(server.host, server.port) as proxy:
        proxy.filter(eater.made, "down")
        through = proxy.url_of(lab.amqp_url)
        start = lab.stack.coordinator if kind == "coordinator" else lambda **more: lab.stack.worker("alpha", **more)
        deaf = start(OPTIMIZER_AMQP_URL=through)
        await lab.ready(deaf)
        for i in range(6):
            lab.ask(client, f"before {i}", 30)
        await asyncio.wait_for(lab.all(), 15)
        eater.eats = True
        lab.history.fault(f"{deaf.name} gets nothing")
        for i in range(6):
            lab.ask(client, f"meanwhile {i}", 30)
        code = await asyncio.to_thread(deaf.process.wait, 10)
        await asyncio.wait_for(lab.all(), 30)
    assert code == 70
    assert eater.eaten > 0
    assert deaf.text().count("no message of this process to itself has come back") == 1
    await lab.verify(service_s=0.5)
