"""Row 21: RabbitMQ ends a consumer: its queue was deleted and declared again, or it kept a message for too long."""

import asyncio
import time

import pika
import pytest
from tests.lab.broker import consumer_timeout
from tests.lab.laboratory import Laboratory

from optimizer_wire.messages import Priority
from optimizer_wire.topology import backend_topology, shared_topology


def delete_and_declare(lab: Laboratory, name: str) -> None:
    """Delete a queue of the deployment with all that is in it, and declare it again."""
    parts = (shared_topology(lab.names), backend_topology(lab.names, ["alpha"]))
    queue = next(queue for part in parts for queue in part.queues if queue.name == name)
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_delete(name)
        channel.queue_declare(name, durable=True, arguments=queue.arguments)
        for binding in (binding for part in parts for binding in part.bindings if binding.queue == name):
            channel.queue_bind(name, binding.exchange, binding.key)


def consumers(lab: Laboratory, name: str) -> int:
    """How many consumers a queue has."""
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        return connection.channel().queue_declare(name, passive=True).method.consumer_count


async def back_within(lab: Laboratory, name: str, timeout_s: float) -> float:
    """Wait until a queue has a consumer again; returns how long it took."""
    began = time.monotonic()
    await lab.until(lambda: consumers(lab, name), f"a consumer of {name}", timeout_s)
    return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.fault(21)
async def test_queues_deleted_and_declared_again(lab: Laboratory):
    """Queues deleted under coordinators and workers: consumed again within 5 s; what is in flight ends, once called."""
    # Queues are pinged every half second.
    lab.stack.extra = "[waits]\nself_check_s = 5\n"
    sim = lab.simulate("alpha", {"latency": {"base_s": 1.5}})
    await lab.start()
    (client,) = await lab.clients(1)
    lab.ask(client, "in flight", 20)
    await lab.until(lambda: len(sim.calls()) == 1, "the call")
    calls = lab.names.call_queue("alpha", Priority.STANDARD)
    for name in (calls, lab.names.requests):
        lab.history.fault(f"{name} deleted and declared again")
        await asyncio.to_thread(delete_and_declare, lab, name)
        await back_within(lab, name, 5.0)
    lab.ask(client, "afterwards", 20)
    await asyncio.wait_for(lab.all(), 20)
    await lab.verify()
    assert len(sim.calls()) == 2


@pytest.mark.fault(21)
@pytest.mark.slow
async def test_a_message_kept_for_too_long(lab: Laboratory, private_rabbitmq):
    """RabbitMQ closes a worker's channel over a long call: consumed again within 5 s, and the call is made once."""
    with consumer_timeout(private_rabbitmq, 3.0):
        lab.stack.amqp_url = lab.amqp_url = private_rabbitmq.url
        sim = lab.simulate("alpha", {"latency": {"base_s": 9.0}})
        await lab.start(workers=2)
        (client,) = await lab.clients(1)
        lab.ask(client, "a long one", 60)
        await lab.until(lambda: any("connection lost" in each.text() for each in lab.of("worker")), "the timeout", 20)
        lab.history.fault("the consumer timeout closed a channel")
        await back_within(lab, lab.names.call_queue("alpha", Priority.STANDARD), 5.0)
        await asyncio.wait_for(lab.all(), 60)
        # RabbitMQ 4.3 may take a while to hand out again what it took back.
        queue = lab.names.call_queue("alpha", Priority.STANDARD)
        listed = ("list_queues", "--silent", "name", "messages")
        await lab.until(lambda: f"{queue}\t0" in private_rabbitmq.ctl(*listed), "the end of every copy", 30)
        await lab.verify(service_s=9.0)
    assert len(sim.calls()) == 1
