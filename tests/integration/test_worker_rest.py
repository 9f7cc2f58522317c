"""A worker whose backend takes no calls for long, on a real RabbitMQ and Redis."""

import asyncio
import time

import pytest

from optimizer_backends.outcome import Outcome
from optimizer_backends.prices import Prices
from optimizer_backends.result import CallResult
from optimizer_config.model import Backend, Config
from optimizer_service.logs import logger
from optimizer_service.outbox import publish_call
from optimizer_state.admission import Admission
from optimizer_state.flights import Flights
from optimizer_state.settings import Settings
from optimizer_state.store import Store
from optimizer_wire.codec import decode
from optimizer_wire.messages import Call, Hop, Priority, Reply, Waiter
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, reply_queue
from optimizer_workers.process import parts
from optimizer_workers.worker import Worker

BACKEND = Backend("alpha", "openai", "http://localhost", ("m",), kind="local")


class Client:
    """A backend client that answers everything."""

    async def call(self, _op, _model, _params, _timeout_s, _on_written):
        now = time.monotonic()
        return CallResult(Outcome.answered, 200, {"choices": []}, written_at=now, ended_at=now)


async def until(condition, timeout_s=15.0):
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
async def line(amqp_url, redis_url, prefix, amqp_cleanup, monkeypatch):
    """A worker that lets go early; yields what a coordinator has, the operators' settings, and the replies so far."""
    monkeypatch.setattr("optimizer_workers.rest.LET_GO_MS", 500)
    monkeypatch.setattr("optimizer_workers.rest.LOOK_S", 0.1)
    amqp_cleanup.backends("alpha")
    store, names, stop = Store(redis_url, prefix), Names(prefix), asyncio.Event()
    await store.synchronise_clock()
    made = parts(Config(backends={"alpha": BACKEND}), BACKEND, store, "w", Client(), Prices())
    await made.budget.restore()
    worker = Worker(store, names, made, "w", stop, logger("test"))
    replies = {}
    async with await Session.open(amqp_url, "worker") as session, await Session.open(amqp_url, "test") as side:
        beating = asyncio.ensure_future(worker.beat_for_ever())
        serving = asyncio.ensure_future(worker.serve(session))
        while not worker.serving:
            await asyncio.sleep(0.01)
        channel = await side.channel()
        queue = names.reply_queue("guest", "test")
        await channel.declare_queue(reply_queue(queue))
        await channel.consume(
            queue, lambda m: replies.update({decode(m.body, Reply).id: True}), no_ack=True, on_cancel=lambda: None
        )
        yield store, names, side, queue, replies
        stop.set()
        await asyncio.wait_for(serving, 30)
        beating.cancel()
        await channel.delete_queue(queue)
    await store.close()


async def test_a_paused_worker_lets_go_and_comes_back(line):
    """Calls of a backend that is paused for long are back in their queue, held by nobody, and run when it resumes."""
    store, names, side, queue, replies = line
    settings, flights, calls = Settings(store), Flights(store), await side.channel(confirms=True)
    work = names.call_queue("alpha", Priority.STANDARD)
    await settings.pause("alpha")
    for name in "abc":
        now_ms = store.clock.now_ms()
        waiter = Waiter(name, queue, now_ms + 60_000, "agent", "tenant", since_ms=now_ms)
        (lead,) = await flights.admit([Admission(name * 32, waiter, may_read=True)])
        call = Call(1, name * 32, lead.flight, 1, waiter, {"messages": name}, (Hop("alpha", "m"),))
        await publish_call(calls, names, call)

    async def let_go():
        return await side.consumers(work) == 0 and await ready(side, work) == 3

    await until(let_go)
    assert replies == {}
    await settings.resume("alpha")

    async def answered():
        return set(replies) == {"a", "b", "c"}

    await until(answered)
    assert await ready(side, work) == 0


async def ready(side, queue):
    """How many messages of a queue nobody holds."""
    return await side.messages(queue)
