"""Row 21: an operator deletes exchanges and bindings; nobody's consumer ends by it."""

import asyncio
import time
from collections.abc import Callable

import pika
import pytest
from tests.lab.history import ANSWERED
from tests.lab.laboratory import Laboratory

from optimizer_wire.messages import Priority

BACK_S = 5.0


def told(lab: Laboratory, tell: Callable[[pika.adapters.blocking_connection.BlockingChannel], object]) -> None:
    """Tell RabbitMQ something."""
    with pika.BlockingConnection(pika.URLParameters(lab.amqp_url)) as connection:
        tell(connection.channel())


@pytest.mark.slow
@pytest.mark.fault(21)
@pytest.mark.parametrize("what", ["requests", "calls", "events", "dead", "binding of requests", "binding of calls"])
async def test_deleted(lab: Laboratory, what: str):
    """An exchange or binding is deleted: what was asked before is answered, and so is what is asked 5 s later."""
    lab.simulate("alpha", {"latency": {"base_s": 1.0}})
    await lab.start(coordinators=2, workers=2)
    (client,) = await lab.clients(1)
    names = lab.names
    calls = names.call_queue("alpha", Priority.STANDARD)
    await lab.ask(client, "first", 30)
    lab.ask(client, "in flight", 30)
    await lab.until(lambda: len(lab.calls()) == 2, "the second call")

    exchanges = {"requests": names.requests, "calls": names.calls, "events": names.events, "dead": names.dead}
    if exchange := exchanges.get(what):
        await asyncio.to_thread(told, lab, lambda channel: channel.exchange_delete(exchange))
    elif what == "binding of requests":
        await asyncio.to_thread(
            told, lab, lambda channel: channel.queue_unbind(names.requests, names.requests, names.requests)
        )
    else:
        key = names.call_key("alpha", Priority.STANDARD)
        await asyncio.to_thread(told, lab, lambda channel: channel.queue_unbind(calls, names.calls, key))
    lab.history.fault(f"{what} deleted")
    deleted = time.monotonic()
    await asyncio.sleep(BACK_S)
    lab.ask(client, "afterwards", 30)
    await lab.all(40)

    assert [note.outcome for note in lab.history.notes] == [ANSWERED] * 3
    print(f"{what}: answered {time.monotonic() - deleted:.1f} s after it")
    await lab.verify(service_s=1.0)
