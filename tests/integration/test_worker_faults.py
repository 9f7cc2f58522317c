"""A worker inside the test, on a real RabbitMQ and Redis, with a backend client that meets a fault of ours."""

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
from optimizer_state.store import Store
from optimizer_wire.codec import decode
from optimizer_wire.events import Event
from optimizer_wire.messages import Call, Hop, Reply, Waiter
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, Queue, reply_queue
from optimizer_workers.process import parts
from optimizer_workers.worker import Worker

BACKEND = Backend("alpha", "openai", "http://localhost", ("m",), kind="local")


class Client:
    """A backend client that raises for one prompt, as a fault in our own code would, and answers the others."""

    async def call(self, _op, _model, params, *_):
        if params["messages"] == "poison":
            raise ZeroDivisionError
        if params["messages"] == "late":
            await asyncio.sleep(0.5)
            now = time.monotonic()
            return CallResult(Outcome.timed_out, message="too slow", written_at=now, ended_at=now)
        body = {"choices": []}
        return CallResult(Outcome.answered, 200, body, written_at=time.monotonic(), ended_at=time.monotonic())


@pytest.fixture
async def line(amqp_url, redis_url, prefix, amqp_cleanup):
    """A worker that serves; yields what a coordinator has: flights, a channel with confirms, and the replies so far."""
    amqp_cleanup.backends("alpha")
    store, names, stop = Store(redis_url, prefix), Names(prefix), asyncio.Event()
    flights = Flights(store)
    made = parts(Config(backends={"alpha": BACKEND}), BACKEND, store, "w", Client(), Prices())
    await made.budget.restore()
    worker = Worker(store, names, made, "w", stop, logger("test"))
    replies = {}
    async with await Session.open(amqp_url, "worker") as session, await Session.open(amqp_url, "test") as side:
        serving = asyncio.ensure_future(worker.serve(session))
        while not worker.serving:
            await asyncio.sleep(0.01)
        channel = await side.channel()
        queue = names.reply_queue("guest", "test")
        await channel.declare_queue(reply_queue(queue))

        def received(message):
            reply = decode(message.body, Reply)
            replies[reply.id] = reply

        await channel.consume(queue, received, no_ack=True, on_cancel=lambda: None)
        yield store, flights, names, await side.channel(confirms=True), queue, replies
        stop.set()
        await asyncio.wait_for(serving, 30)
        await channel.delete_queue(queue)
    await store.close()


async def ask(line, name, prompt, left_ms=20_000):
    """Lead a flight and publish its call, as a coordinator does."""
    store, flights, names, calls, queue, _ = line
    now_ms = store.clock.now_ms()
    waiter = Waiter(name, queue, now_ms + left_ms, "agent", "tenant", since_ms=now_ms)
    (lead,) = await flights.admit([Admission(name * 32, waiter, may_read=True)])
    call = Call(1, name * 32, lead.flight, 1, waiter, {"messages": prompt}, (Hop("alpha", "m"),))
    await publish_call(calls, names, call)


async def test_a_fault_of_ours_ends_one_request_and_no_other(line):
    """A request over which the worker fails gets an `internal` error; its neighbours there are answered."""
    replies = line[-1]
    await ask(line, "a", "poison")
    await ask(line, "b", "harmless")
    async with asyncio.timeout(15):
        while len(replies) < 2:
            await asyncio.sleep(0.01)

    assert replies["a"].error.code == "internal"
    assert replies["b"].ok


async def test_a_call_that_fails_after_its_deadline_ends_its_request(line, amqp_url):
    """Nobody waits any more when it fails: that is told as the request's end, and the flight is gone."""
    store, _, names, *_ = line
    told = []
    async with await Session.open(amqp_url, "events") as session:
        channel = await session.channel()
        queue = f"{names.events}.test"
        await channel.declare_queue(Queue(queue, {"x-queue-type": "classic"}, durable=False, exclusive=True))
        await channel.bind(queue, names.events, "optimizer.error")
        await channel.consume(
            queue, lambda message: told.append(decode(message.body, Event)), no_ack=True, on_cancel=lambda: None
        )
        await ask(line, "c", "late", left_ms=300)
        async with asyncio.timeout(15):
            while not told:
                await asyncio.sleep(0.01)

    assert (told[0].request_id, told[0].error_code) == ("c", "deadline_exceeded")
    assert not await store.command("EXISTS", f"{store.prefix}:{{{'c' * 32}}}:flight")
