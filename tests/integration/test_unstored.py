"""Calls that end while Redis is away: what it is told of them when it is back, and who hears of it then."""

import msgspec
import pytest

from optimizer_state.admission import Admission, Hit, Lead
from optimizer_state.answer import Answer
from optimizer_state.flights import Flights, flight_by_chance
from optimizer_state.store import RedisAway
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.messages import Call, Hop, Waiter
from optimizer_workers import unstored
from optimizer_workers.unstored import Unstored

FINGERPRINT = "f" * 32


class Outbox:
    """Notes who was told."""

    def __init__(self):
        self.told, self.down = [], False

    async def answer(self, answer, waiters):
        if self.down:
            raise BrokerUnavailable
        self.told += [(waiter.id, msgspec.msgpack.decode(answer.result)) for waiter in waiters]


class Link:
    def __init__(self):
        self.outbox = Outbox()


class Flaky(Flights):
    """Flights on a Redis that is away for those who end one."""

    away = True

    async def complete(self, *arguments, **more):
        if self.away:
            raise RedisAway
        return await super().complete(*arguments, **more)


class Scene:
    def __init__(self, store):
        self.store, self.flights, self.link = store, Flaky(store), Link()
        self.unstored = Unstored(store, self.flights, self.link)

    def waiter(self, name):
        now_ms = self.store.clock.now_ms()
        return Waiter(name, f"replies.{name}", now_ms + 30_000, "agent", "tenant", since_ms=now_ms)

    async def led(self, *joined, fingerprint=FINGERPRINT):
        """The call of a flight in which others wait."""
        first, *_ = await self.flights.admit(
            [Admission(fingerprint, self.waiter(name), may_read=True) for name in ("a", *joined)]
        )
        assert isinstance(first, Lead)
        return self.call(first.flight, fingerprint)

    def call(self, flight, fingerprint=FINGERPRINT):
        return Call(1, fingerprint, flight, 1, self.waiter("a"), {}, (Hop("b", "m"),))

    async def back(self):
        self.flights.away = False
        await self.unstored.store()


@pytest.fixture
def scene(store):
    return Scene(store)


def answer(text="hello", leader="a"):
    return Answer(ok=True, leader=leader, stored_ms=1, result=msgspec.Raw(msgspec.msgpack.encode(text)))


async def test_those_who_joined_are_told(scene):
    """When Redis is back, those who joined the flight are told its end, and not the one who knows it."""
    call = await scene.led("b", "c")
    await scene.flights.begin(call, "o1", redelivered=False)
    scene.unstored.keep(call, "o1", answer(), store_ttl_ms=60_000)
    await scene.unstored.store()
    assert scene.link.outbox.told == []

    await scene.back()

    assert sorted(scene.link.outbox.told) == [("b", "hello"), ("c", "hello")]
    assert len(scene.unstored) == 0
    (later,) = await scene.flights.admit([Admission(FINGERPRINT, scene.waiter("d"), may_read=True)])
    assert isinstance(later, Hit)


async def test_a_call_that_was_never_begun_there(scene):
    """A call that began while Redis was away ends the flight that was opened for it before; no other owner's."""
    call = await scene.led("b")
    scene.unstored.keep(call, "", answer(), store_ttl_ms=0)
    await scene.back()
    assert scene.link.outbox.told == [("b", "hello")]

    other = await scene.led("c", fingerprint="e" * 32)
    await scene.flights.begin(other, "lives", redelivered=False)
    scene.unstored.keep(other, "", answer(), store_ttl_ms=0)
    await scene.back()

    assert scene.link.outbox.told == [("b", "hello")]
    assert await scene.flights.renew(other, "lives") == "ok"


async def test_a_flight_that_redis_never_knew(scene):
    """The answer of a call whose flight was named by chance in an outage is there for others when Redis is back."""
    scene.unstored.keep(scene.call(flight_by_chance()), "", answer(), store_ttl_ms=60_000)
    await scene.back()

    (later,) = await scene.flights.admit([Admission(FINGERPRINT, scene.waiter("d"), may_read=True)])
    assert isinstance(later, Hit)


async def test_without_rabbitmq_it_is_told_again(scene):
    """What could not be told because RabbitMQ was away too is told when that is back."""
    call = await scene.led("b")
    await scene.flights.begin(call, "o1", redelivered=False)
    scene.unstored.keep(call, "o1", answer(), store_ttl_ms=0)
    scene.link.outbox.down = True
    await scene.back()
    assert len(scene.unstored) == 1
    scene.link.outbox.down = False

    await scene.back()

    assert scene.link.outbox.told == [("b", "hello")]
    assert len(scene.unstored) == 0


async def test_a_call_that_was_queued_in_an_outage_is_shared(scene):
    """Of equal calls that were published without Redis only one is made when it is back; the others join it."""
    one, other = scene.call(flight_by_chance()), scene.call(flight_by_chance())
    other = msgspec.structs.replace(other, waiter=scene.waiter("b"))

    first = await scene.flights.begin(one, "o1", redelivered=False)
    second = await scene.flights.begin(other, "o2", redelivered=False)
    scene.flights.away = False
    ended = await scene.flights.complete(one, "o1", answer(), store_ttl_ms=0)

    assert (first.verdict, second.verdict) == ("run", "moved")
    assert {waiter.id for waiter in ended.waiters} == {"a", "b"}


def test_a_long_outage_fills_no_memory(monkeypatch):
    """Of too many ends, or too long ones, the oldest are dropped."""
    monkeypatch.setattr(unstored, "MOST", 3)
    monkeypatch.setattr(unstored, "MOST_BYTES", 100)
    held, call = Unstored(None, None, None), Call(1, "f", 1, 1, Waiter("a", "q", 1, "g", "t"), {}, (Hop("b", "m"),))
    for _ in range(5):
        held.keep(call, "", answer(), store_ttl_ms=0)
    assert len(held) == 3

    held.keep(call, "", answer("x" * 95), store_ttl_ms=0)

    assert len(held) == 1
