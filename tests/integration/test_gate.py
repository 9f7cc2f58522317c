"""The gate on a real Redis: who waits for a quota, in which order, and how each of them leaves."""

import asyncio
import time
from types import SimpleNamespace

import msgspec
import pytest

from optimizer_config.model import Limit
from optimizer_config.model import Quotas as Settings
from optimizer_coordinator import gate as gate_module
from optimizer_coordinator import look as look_module
from optimizer_coordinator.gate import Gate, GateClosed
from optimizer_coordinator.quota import QuotaBarrier
from optimizer_state.admission import Admission, Join
from optimizer_state.flights import Flights
from optimizer_state.quotas import Quotas
from optimizer_state.store import Store
from optimizer_wire.errors import Cancelled, DeadlineExceeded, Overloaded, QuotaExceeded
from optimizer_wire.messages import Waiter


class SimpleIntake(msgspec.Struct, frozen=True):
    """As much of an intake as the gate looks at."""

    admission: Admission

    @property
    def waiter(self):
        return self.admission.waiter

    @property
    def request(self):
        return SimpleNamespace(params={}, ordering_key=None)


class Ear:
    """A speaker that remembers what it was to say."""

    def __init__(self):
        self.told = []

    async def held(self, kind, intake, outcome, message, retry_after_s):
        """Keep it."""
        self.told.append((kind, intake.waiter.id, outcome, message))


class Entrance:
    """One coordinator's gate, with quotas by agent: `anna` two a second, `bert` one, everybody else none."""

    def __init__(self, store, over="wait"):
        self.store, self.flights, self.ear = store, Flights(store), Ear()
        second = {name: (Limit("rps", "requests", count, 1.0),) for name, count in (("anna", 2), ("bert", 1))}
        barrier = QuotaBarrier(Quotas(store, Settings(over, {}, second)), over)
        self.gate = Gate((barrier,), store, self.flights, self.ear)
        self.order = []

    def intake(self, name, agent="anna", *, about=None, left_ms=30_000):
        now_ms = self.store.clock.now_ms()
        waiter = Waiter(name, f"replies.{name}", now_ms + left_ms, agent, "blue", since_ms=now_ms)
        admission = Admission((about or name).ljust(32, "f"), waiter, may_read=True)
        return self.gate.mark(SimpleIntake(admission))

    async def come(self, name, agent="anna", **more):
        """Be admitted and, if it is to publish, pass the gate; returns what the gate said."""
        intake = self.intake(name, agent, **more)
        (decision,) = await self.flights.admit([intake.admission])
        return await self.enter(intake, decision)

    async def enter(self, intake, decision):
        if isinstance(decision, Join) and not decision.publish_again:
            return "joined"
        gated = decision.gated if isinstance(decision, Join) else intake.admission.gated
        publish = not gated or await self.gate.enter(intake, decision.flight)
        if publish:
            self.order.append(intake.waiter.id)
        return publish


@pytest.fixture
def entrance(store):
    return Entrance(store)


async def until(condition, what):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what} did not come")


async def test_waiting_in_the_order_of_arrival(entrance):
    """The requests of one agent are let through in order as there is room, and its quota is used to the full."""
    began = time.monotonic()
    names = [f"a{number}" for number in range(6)]
    assert await asyncio.gather(*(entrance.come(name) for name in names)) == [True] * 6

    assert entrance.order == names
    assert 1.9 < time.monotonic() - began < 6


async def test_agents_do_not_block_each_other(entrance):
    """An agent with room passes at once, however many of others wait."""
    waiting = [asyncio.ensure_future(entrance.come(f"b{number}", "bert")) for number in range(4)]
    await until(lambda: entrance.order == ["b0"], "the first of bert")
    began = time.monotonic()
    assert await entrance.come("a0", "anna")
    assert await entrance.come("c0", "carl")

    assert time.monotonic() - began < 0.3
    for task in waiting:
        task.cancel()


async def test_nothing_to_wait_for(entrance):
    """Whom no quota concerns is not marked, and opens a flight that needs no gate."""
    assert not entrance.intake("c0", "carl").admission.gated
    assert entrance.intake("a0", "anna").admission.gated


async def test_it_is_told_once_that_it_waits(entrance):
    """A request that has to wait is told of in one event, one that passes in none."""
    await asyncio.gather(*(entrance.come(name, "bert") for name in ("b0", "b1", "b2")))

    assert sorted((kind, name, outcome) for kind, name, outcome, _ in entrance.ear.told) == [
        ("optimizer.quota", "b1", "waiting"),
        ("optimizer.quota", "b2", "waiting"),
    ]
    assert entrance.ear.told[0][3] == "It waits for the quota of agent bert (1 requests in 1 s)."


async def test_refused_with_the_exact_time(store):
    """With `over = "reject"` nobody waits; after the time that was told there is room."""
    entrance = Entrance(store, "reject")
    assert await entrance.come("b0", "bert")
    with pytest.raises(QuotaExceeded) as caught:
        await entrance.come("b1", "bert")

    assert caught.value.message.startswith(
        "There is no room in the quota of agent bert (1 requests in 1 s) for another "
    )
    await asyncio.sleep(caught.value.retry_after_s)
    assert await entrance.come("b1", "bert")


async def test_joining_is_free_where_asking_too_much_is_refused(store):
    """Many with the same question need room for one, with `over = "reject"` too; without any, each is refused."""
    entrance = Entrance(store, "reject")
    came = await asyncio.gather(*(entrance.come(f"b{number}", "bert", about="same") for number in range(30)))
    assert came.count(True) == 1

    began = time.monotonic()
    others = (entrance.come(f"c{number}", "bert", about="other") for number in range(30))
    refused = await asyncio.gather(*others, return_exceptions=True)
    assert {type(error) for error in refused} == {QuotaExceeded}
    assert time.monotonic() - began < 0.8


async def test_too_long_a_wait_is_told_at_once(entrance):
    """What surely misses its deadline is not kept waiting for it."""
    began = time.monotonic()
    assert await entrance.come("b0", "bert")
    with pytest.raises(DeadlineExceeded, match=r"It would have to wait .* for the quota of agent bert"):
        await entrance.come("b1", "bert", left_ms=700)

    assert time.monotonic() - began < 0.3


async def test_deadline_at_the_gate(entrance):
    """Who waits behind others until its deadline is told so by then."""
    tasks = [asyncio.ensure_future(entrance.come(f"b{number}", "bert")) for number in range(6)]
    await until(lambda: entrance.order == ["b0"], "the first of bert")
    with pytest.raises(DeadlineExceeded, match=r"It (would have to wait|waited) .* for the quota of agent bert"):
        await asyncio.wait_for(entrance.come("late", "bert", left_ms=2_500), 3)
    for task in tasks:
        task.cancel()


async def test_cancelled_at_the_gate(entrance):
    """A cancelled request stops waiting, and what it had reserved is there for the next."""
    assert await entrance.come("b0", "bert")
    intake = entrance.intake("b1", "bert")
    (decision,) = await entrance.flights.admit([intake.admission])
    waiting = asyncio.ensure_future(entrance.enter(intake, decision))
    await until(lambda: entrance.ear.told, "the wait")
    await entrance.flights.cancel(intake.admission.fingerprint, intake.waiter)

    with pytest.raises(Cancelled):
        await asyncio.wait_for(waiting, 2)


async def test_joiner_with_room_goes_first(entrance):
    """Who joins a flight whose leader waits for its quota passes with its own; the leader waits no more, for free."""
    assert await entrance.come("b0", "bert")
    leader = asyncio.ensure_future(entrance.come("b1", "bert", about="same"))
    await until(lambda: entrance.ear.told, "the wait")

    assert await entrance.come("c0", "carl", about="same") is True
    assert await asyncio.wait_for(leader, 2) is False
    assert await entrance.come("d0", "dora", about="same") == "joined"
    assert await entrance.come("b2", "bert")


async def test_one_publishes_of_many_with_the_same_question(entrance):
    """Of those who wait with the same question one pays and publishes, the others are free."""
    came = await asyncio.gather(*(entrance.come(f"a{number}", "anna", about="same") for number in range(20)))
    assert came.count(True) == 1

    began = time.monotonic()
    assert await entrance.come("a21", "anna")
    assert time.monotonic() - began < 0.5


async def test_whoever_comes_second_with_a_question_gets_its_quota_back(entrance):
    """Two agents reserve for the same question at the same time: one publishes, the other has paid nothing."""
    came = await asyncio.gather(entrance.come("a0", "anna", about="same"), entrance.come("b0", "bert", about="same"))
    assert sorted(came) == [False, True]

    began = time.monotonic()
    await asyncio.gather(entrance.come("a1", "anna"), *([entrance.come("b1", "bert")] if came[0] else []))
    if not came[0]:
        assert await entrance.come("a2", "anna")
    assert time.monotonic() - began < 0.5


async def test_a_second_copy_keeps_the_place_of_the_first(entrance):
    """The same request once more does not wait a second time, nor pay."""
    assert await entrance.come("b0", "bert")
    first = asyncio.ensure_future(entrance.come("b1", "bert"))
    await until(lambda: entrance.ear.told, "the wait")

    assert await entrance.come("b1", "bert") is False
    assert await first is True


async def test_copies_at_two_coordinators_pay_once(entrance, store):
    """Copies of one request that wait at two coordinators are let through for the price of one."""
    other = Entrance(store)
    assert await entrance.come("a0")
    assert await entrance.come("a1")
    copies = [asyncio.ensure_future(each.come("a2")) for each in (entrance, other)]
    assert True in await asyncio.gather(*copies)

    began = time.monotonic()
    assert await entrance.come("a3")
    assert time.monotonic() - began < 0.5
    waits = asyncio.ensure_future(entrance.come("a4"))
    await until(lambda: any(name == "a4" for _, name, *_ in entrance.ear.told), "the wait")
    await waits


async def test_only_so_many_wait(entrance, monkeypatch):
    """Beyond the bound the last of the longest line is told that the optimizer is overloaded, not whoever comes."""
    monkeypatch.setattr(gate_module, "MOST_WAITING", 4)
    await entrance.come("b0", "bert")
    await asyncio.gather(entrance.come("a0", "anna"), entrance.come("a1", "anna"))
    first, second, last = (asyncio.ensure_future(entrance.come(f"b{number}", "bert")) for number in (1, 2, 3))
    await until(lambda: len(entrance.ear.told) == 3, "three that wait")
    small = asyncio.ensure_future(entrance.come("a2", "anna"))
    await until(lambda: len(entrance.ear.told) == 4, "one more that waits")

    with pytest.raises(Overloaded):
        await entrance.come("b4", "bert")
    other = asyncio.ensure_future(entrance.come("a3", "anna"))
    with pytest.raises(Overloaded):
        await last
    assert await asyncio.gather(first, second, small, other) == [True] * 4


async def test_held_for_too_long(entrance, monkeypatch):
    """A request that waits for longer than RabbitMQ lets a message be held is handed back."""
    monkeypatch.setattr(entrance.gate._look, "_hold_ms", 100)
    tasks = [asyncio.ensure_future(entrance.come(f"b{number}", "bert")) for number in range(2)]

    assert await tasks[0]
    with pytest.raises(look_module.HeldTooLong):
        await tasks[1]


async def test_closing(entrance):
    """When its session ends everybody is let go undecided, and nobody comes in any more."""
    assert await entrance.come("b0", "bert")
    waiting = asyncio.ensure_future(entrance.come("b1", "bert"))
    await until(lambda: entrance.ear.told, "the wait")
    entrance.gate.close()

    with pytest.raises(GateClosed):
        await waiting
    with pytest.raises(GateClosed):
        await entrance.come("b2", "bert")


async def test_redis_goes_away(private_redis, prefix):
    """While Redis is away the gate lets through this coordinator's share, and goes on when it is back."""
    store = Store(private_redis.url, prefix)
    await store.synchronise_clock()
    entrance = Entrance(store)
    try:
        assert await entrance.come("b0", "bert")
        waiting = [asyncio.ensure_future(entrance.come(f"b{number}", "bert")) for number in (1, 2)]
        await until(lambda: len(entrance.ear.told) == 2, "the waits")
        private_redis.stop()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True, True]
    finally:
        entrance.gate.close()
        await store.close()
