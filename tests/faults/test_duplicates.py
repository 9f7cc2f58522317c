"""Row 19: the same message is delivered more than once, and different clients use the same id."""

import asyncio

import pika
import pytest
from tests.lab.laboratory import Laboratory


class Copier:
    """Keeps what is published to an exchange, byte for byte, and publishes it again."""

    def __init__(self, url: str, exchange: str, key: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self._exchange, self._key = exchange, key
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(self._queue, exchange, key)

    def copies(self, count: int) -> list[tuple[pika.BasicProperties, bytes]]:
        """The next messages, when there are so many."""
        found = []
        while len(found) < count:
            method, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if method is None:
                self._connection.sleep(0.01)
            else:
                found.append((properties, body))
        return found

    def repeat(self, messages: list[tuple[pika.BasicProperties, bytes]], times: int) -> None:
        """Publish them again, where they went, and nowhere else."""
        self._channel.queue_unbind(self._queue, self._exchange, self._key)
        for properties, body in messages * times:
            self._channel.basic_publish(self._exchange, self._key, body, properties, mandatory=True)

    def close(self) -> None:
        self._connection.close()


def copier(lab: Laboratory, what: str) -> Copier:
    """One of requests, or of the calls for the backend alpha."""
    if what == "request":
        return Copier(lab.amqp_url, lab.names.requests, lab.names.requests)
    return Copier(lab.amqp_url, lab.names.calls, "alpha.standard")


@pytest.mark.slow
@pytest.mark.fault(19)
@pytest.mark.parametrize("what", ["request", "call"])
@pytest.mark.parametrize("when", ["while it waits", "after its end"])
async def test_message_published_again(lab: Laboratory, what: str, when: str):
    """A request or call that arrives three more times makes no further call, and its caller gets one answer."""
    sim = lab.simulate("alpha", {"latency": {"base_s": 0.5}})
    await lab.start(workers=2, coordinators=2)
    clients = await lab.clients(2)
    copies = await asyncio.to_thread(copier, lab, what)
    for client in clients:
        lab.ask(client, client.agent, 30)
    messages = await asyncio.to_thread(copies.copies, 2)
    if when == "after its end":
        await lab.all()
    await asyncio.to_thread(copies.repeat, messages, 3)
    await asyncio.to_thread(copies.close)
    await lab.all()
    await lab.verify(service_s=0.5)

    assert len(sim.calls()) == 2


@pytest.mark.fault(19)
@pytest.mark.parametrize("cache", ["use", pytest.param("off", marks=pytest.mark.slow)])
async def test_two_clients_with_the_same_id(lab: Laboratory, cache: str):
    """Two clients that use the same ids each get the answers to their own questions, shared ones and different ones."""
    lab.simulate("alpha", {"latency": {"base_s": 0.3}})
    await lab.start()
    one, other = await lab.clients(2)
    for round_ in range(2):
        for i in range(5):
            lab.ask(one, f"shared {i}", 30, request_id=f"{round_}-{i}", cache=cache)
            lab.ask(other, f"shared {i}", 30, request_id=f"{round_}-{i}", cache=cache)
            lab.ask(one, f"one {i}", 30, request_id=f"{round_}-own-{i}", cache=cache)
            lab.ask(other, f"other {i}", 30, request_id=f"{round_}-own-{i}", cache=cache)
        await lab.all()
    await lab.verify(service_s=0.3)
