"""Who is told what when a message has become a dead letter, on a real Redis."""

import asyncio

import msgspec
import pytest

from optimizer_config.model import Config
from optimizer_coordinator.intake import Envelope, Reception
from optimizer_coordinator.last_word import LastWords
from optimizer_coordinator.routing import Router
from optimizer_state.admission import Lead
from optimizer_state.answer import Answer
from optimizer_state.flights import Flights
from optimizer_state.store import Store
from optimizer_wire.codec import encode
from optimizer_wire.dead_letters import DeadLetter
from optimizer_wire.messages import CALL_TYPE, REQUEST_TYPE, ErrorInfo, Request
from optimizer_wire.topology import Names

PARAMS = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def reception(prefix):
    config = Config()
    return Reception(config, Names(prefix), Router(config))


@pytest.fixture
def words(store, flights, reception, prefix):
    return LastWords(Names(prefix), reception, store, flights, "keeper")


def letter(why, name="r-1", kind=REQUEST_TYPE, body=None, prefix=""):
    body = encode(Request(1, name, "a", PARAMS)) if body is None else body
    address = f"{prefix}.replies.guest.{name}"
    return DeadLetter(id="x", why=why, died_ms=1, kind=kind, user="guest", reply_to=address, request_id=name, body=body)


async def led(store, flights, reception, *names):
    """Requests in one flight; returns its call."""
    prefix, at_ms = store.prefix, store.clock.now_ms()
    envelopes = [
        Envelope(encode(Request(1, name, "a", PARAMS)), REQUEST_TYPE, f"{prefix}.replies.guest.{name}", "guest", at_ms)
        for name in names
    ]
    intakes = [reception.receive(envelope) for envelope in envelopes]
    first, *_ = await flights.admit([intake.admission for intake in intakes])
    assert isinstance(first, Lead)
    return reception.call(intakes[0], (), first.flight, 1)


def called(call, why):
    route = ({"backend": "b", "model": "m"},)
    fields = msgspec.to_builtins(call) | {"route": route}
    return letter(why, kind=CALL_TYPE, body=msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    ("why", "code"),
    [
        ("delivery_limit", "internal"),
        ("expired", "deadline_exceeded"),
        ("maxlen", "overloaded"),
        ("published", "internal"),
    ],
)
async def test_a_request_that_rabbitmq_moved(words, prefix, why, code):
    """Who sent a request that RabbitMQ moved is told why; one that a coordinator rejected was told before."""
    word = await words.on(letter(why, prefix=prefix))
    assert [waiter.id for waiter in word.waiters] == ["r-1"]
    assert word.answer.error.code == code
    assert word.letter.reason == word.answer.error.message

    assert (await words.on(letter("rejected", prefix=prefix))).answer is None
    refused = await words.on(letter("rejected", body=b"\xc1", prefix=prefix))
    assert refused.answer is None
    assert "cannot be understood" in refused.letter.reason


async def test_a_foreign_address_is_not_told(words, prefix):
    """Nothing is sent to a queue that the sender may not name."""
    foreign = msgspec.structs.replace(letter("delivery_limit", prefix=prefix), reply_to=f"{prefix}.replies.other.1")
    assert (await words.on(foreign)).answer is None


async def test_a_request_that_runs_or_was_answered(words, store, flights, reception, prefix):
    """A request whose call runs is left to it; one whose call was answered gets that answer."""
    call = await led(store, flights, reception, "r-1")
    await flights.begin(call, "w/1", redelivered=False)
    assert (await words.on(letter("delivery_limit", prefix=prefix))).answer is None

    await flights.complete(call, "w/1", Answer(ok=True, leader="r-1", stored_ms=1), store_ttl_ms=0)
    word = await words.on(letter("delivery_limit", prefix=prefix))
    assert word.answer.ok


async def test_a_call_that_rabbitmq_moved_ends_its_flight(words, store, flights, reception):
    """All who wait in the flight of a call that RabbitMQ moved are told, and again if their keeper died meanwhile."""
    call = await led(store, flights, reception, "r-1", "r-2")
    for _ in range(2):
        word = await words.on(called(call, "delivery_limit"))
        assert {waiter.id for waiter in word.waiters} == {"r-1", "r-2"}
        assert word.answer.error.code == "internal"
        assert "delivered 20 times" in word.answer.error.message


async def test_a_call_that_another_copy_runs(words, store, flights, reception):
    """While a live worker runs the same call the keeper waits, and then tells what that came to."""
    call = await led(store, flights, reception, "r-1")
    await flights.begin(call, "w/1", redelivered=False)
    asking = asyncio.ensure_future(words.on(called(call, "delivery_limit")))
    done, _ = await asyncio.wait([asking], timeout=0.3)
    assert not done

    await flights.complete(call, "w/1", Answer(ok=True, leader="r-1", stored_ms=1), store_ttl_ms=0)
    assert (await asyncio.wait_for(asking, 5)).answer.ok


async def test_a_call_that_its_worker_rejected(words, store, flights, reception):
    """The reason of a rejected call is what its worker told the waiters, who are not told again."""
    call = await led(store, flights, reception, "r-1")
    await flights.begin(call, "w/1", redelivered=False)
    error = ErrorInfo("internal", "It kills.")
    await flights.complete(call, "w/1", Answer(ok=False, leader="r-1", stored_ms=1, error=error), store_ttl_ms=0)

    word = await words.on(called(call, "rejected"))
    assert word.answer is None
    assert word.letter.reason == "It kills."


async def test_without_redis(reception, prefix):
    """Without Redis the waiter that the call carries is told."""
    store = Store("redis://127.0.0.1:1/0", prefix)
    words = LastWords(Names(prefix), reception, store, Flights(store), "keeper")
    intake = reception.receive(
        Envelope(encode(Request(1, "r-1", "a", PARAMS)), REQUEST_TYPE, f"{prefix}.replies.guest.1", "guest", 1)
    )
    word = await words.on(called(reception.call(intake, (), 5, 1), "delivery_limit"))
    await store.close()
    assert [waiter.id for waiter in word.waiters] == ["r-1"]
    assert not word.answer.ok


async def test_what_nobody_knows(words):
    """A message of an unknown type is kept with a reason, and nobody is told."""
    word = await words.on(letter("published", kind="something", body=b""))
    assert word.answer is None
    assert "something" in word.letter.reason
