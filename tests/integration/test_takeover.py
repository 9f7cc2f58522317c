"""A worker dies with calls in flight: when the others may take it for dead, and what they take over then."""

import pytest
from tests.support.budgets import RPM, granted, key_of, refused, slots_of, worker

from optimizer_state.owners import owned_by, owner_of, prefix_of
from optimizer_state.presence import ALIVE_MS, REJOIN_S, Presence, Roster
from optimizer_state.store import RedisAway
from optimizer_workers.fleet import Fleet


class Survivor:
    """The fleet as one worker sees it, beside another one that was heard of a while ago; its clock can be put on."""

    def __init__(self, store, budget):
        self.store = store
        self.fleet = Fleet(store, Presence("b", "w1"), budget)

    async def other_heard(self, ago_ms):
        await self.store.command("ZADD", f"{self.store.prefix}:workers", self.store.clock.now_ms() - ago_ms, "b w2")

    async def in_touch_for(self, seconds):
        assert await self.fleet.beat()
        self.fleet._in_touch_since_ms = self.store.clock.now_ms() - round(seconds * 1000)


@pytest.fixture
async def survivor(store):
    return Survivor(store, await worker(store, RPM))


def test_names_tell_whose_they_are():
    """The name of what a worker holds tells the worker, also if that has a slash in its own, and is used once."""
    names = {owned_by("a/b") for _ in range(100)}

    assert len(names) == 100
    assert {owner_of(name) for name in names} == {"a/b"}
    assert all(name.startswith(prefix_of("a/b")) for name in names)
    assert owner_of("") == owner_of("something-else") == ""


async def test_silence_is_death(survivor):
    """A worker that has said nothing for five seconds is dead to one that was in touch with Redis all the time."""
    await survivor.in_touch_for(REJOIN_S + 1)
    await survivor.other_heard(ALIVE_MS + 100)

    assert await survivor.fleet.bury("w2")


async def test_who_speaks_lives(survivor):
    """A worker that said something lately lives, and of one that never did, or has left, nobody knows."""
    await survivor.in_touch_for(REJOIN_S + 1)
    await survivor.other_heard(ALIVE_MS - 500)

    assert not await survivor.fleet.bury("w2")
    assert not await survivor.fleet.bury("w3")
    await Roster(survivor.store).leave(Presence("b", "w2"))
    assert not await survivor.fleet.bury("w2")


async def test_who_just_came_cannot_tell(survivor):
    """Who has been in touch with Redis for a few seconds only takes nobody for dead: it may just be back for all."""
    assert not await survivor.fleet.bury("w2")
    await survivor.in_touch_for(REJOIN_S - 1)
    await survivor.other_heard(ALIVE_MS + 60_000)

    assert not await survivor.fleet.bury("w2")


async def test_after_an_outage_nobody_is_dead(survivor):
    """After an outage of Redis, also one that it hardly noticed, a worker waits until the others can have spoken."""
    await survivor.in_touch_for(REJOIN_S + 1)
    await survivor.other_heard(ALIVE_MS + 100)
    survivor.store.missed_outage()

    assert not await survivor.fleet.bury("w2")


async def test_a_beat_that_failed_begins_anew(survivor, monkeypatch):
    """A heartbeat that did not get through ends the time in which a worker was in touch."""
    await survivor.in_touch_for(REJOIN_S + 1)
    await survivor.other_heard(ALIVE_MS + 100)

    async def away():
        raise RedisAway

    monkeypatch.setattr(survivor.store, "synchronise_clock", away)
    assert not await survivor.fleet.beat()
    monkeypatch.undo()
    assert await survivor.fleet.beat()

    assert not await survivor.fleet.bury("w2")


async def test_what_the_dead_held_is_free(survivor):
    """Burying a worker frees its places at the backend, which count as used, and touches nobody else's."""
    store = survivor.store
    one, other = await worker(store, RPM, concurrency=2), await worker(store, RPM, name="w2", concurrency=2)
    await granted(other, other.new_reservation())
    await granted(one, one.new_reservation())
    assert (await refused(one, "full")).limit == "concurrency"
    await survivor.in_touch_for(REJOIN_S + 1)
    await survivor.other_heard(ALIVE_MS + 100)

    assert await survivor.fleet.bury("w2")

    await granted(one, one.new_reservation())
    assert (await refused(one, "full")).limit == "concurrency"
    assert sum((await slots_of(store, "rpm")).values()) == 1
    assert await store.command("HGET", key_of(store, "flying"), "rpm") == b"2"


async def test_a_dead_probe_is_replaced(survivor):
    """The one call that tries a backend whose breaker was open dies with its worker: the next one tries it at once."""
    store = survivor.store
    one, other = await worker(store, RPM), await worker(store, RPM, name="w2")
    await store.command("HSET", key_of(store, "gate"), "open", store.clock.now_ms() - 1_000)
    assert (await granted(other, other.new_reservation())).probe == "breaker"
    assert (await refused(one, "waits")).limit == "breaker"
    await survivor.in_touch_for(REJOIN_S + 1)
    await survivor.other_heard(ALIVE_MS + 100)

    assert await survivor.fleet.bury("w2")

    assert (await granted(one, one.new_reservation())).probe == "breaker"
