"""Flushing stored answers on a real Redis: what is removed, and what of calls on their way is not stored."""

import asyncio
import time

import msgspec
import pytest

from optimizer_ops.cache.flush import flush
from optimizer_state import flushes
from optimizer_state.admission import Admission, Hit, Lead
from optimizer_state.answer import Answer
from optimizer_state.entries import Entries
from optimizer_state.flights import Flights
from optimizer_state.flushes import Flushed, Flushes
from optimizer_state.selection import Selection
from optimizer_wire.messages import Call, Hop, Waiter

TTL_MS = 60_000


class Scene:
    """Questions that are asked, called and answered."""

    def __init__(self, store, flights):
        self.store, self.flights, self.asked = store, flights, 0

    def waiter(self, tenant="acme", agent="quality"):
        self.asked += 1
        now_ms = self.store.clock.now_ms()
        return Waiter(f"r-{self.asked}", "replies.user.x", now_ms + 30_000, agent, tenant, since_ms=now_ms)

    async def admit(self, fingerprint, **who):
        waiter = self.waiter(**who)
        return (await self.flights.admit([Admission(fingerprint, waiter, may_read=True)]))[0], waiter

    async def begin(self, fingerprint, namespace="", **who):
        """Ask a question and begin its call."""
        led, waiter = await self.admit(fingerprint, **who)
        assert isinstance(led, Lead)
        route = (Hop("groq", "model"),)
        call = Call(1, fingerprint, led.flight, 1, waiter, {}, route, namespace=namespace)
        await self.flights.begin(call, f"w/{fingerprint}", redelivered=False)
        return call

    async def end(self, call, task="general", model="gpt", age_ms=0):
        answer = Answer(
            ok=True,
            leader=call.waiter.id,
            stored_ms=self.store.clock.now_ms() - age_ms,
            result=msgspec.Raw(msgspec.msgpack.encode({"text": "a secret answer" * 20})),
            backend="groq",
            model=model,
            task=task,
        )
        return await self.flights.complete(call, f"w/{call.fingerprint}", answer, store_ttl_ms=TTL_MS)

    async def answered(self, fingerprint, namespace="", task="general", model="gpt", age_ms=0, **who):
        call = await self.begin(fingerprint, namespace, **who)
        await self.end(call, task, model, age_ms)

    async def stored(self):
        return {entry.fingerprint async for page in Entries(self.store).pages() for entry in page.entries}


@pytest.fixture
def scene(store, flights):
    """A scene in the test's own deployment."""
    return Scene(store, flights)


@pytest.fixture
def soon(monkeypatch):
    """Flushes that wait for nobody: no worker has anything on its way."""
    monkeypatch.setattr(flushes, "AHEAD_MS", 30)


FOUR = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)


@pytest.fixture
async def four(scene):
    """Four answers that differ in everything."""
    await scene.answered(FOUR[0], namespace="x", tenant="acme", task="code", model="gpt", agent="one")
    await scene.answered(FOUR[1], namespace="", tenant="acme", task="general", model="llama", agent="two")
    await scene.answered(FOUR[2], namespace="x", tenant="other", task="general", model="gpt", agent="three")
    await scene.answered(FOUR[3], namespace="y", tenant="other", task="long", model="gpt", agent="one", age_ms=90_000)
    return scene


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ({"fingerprint": "a" * 32}, "a"),
        ({"namespace": "x"}, "ac"),
        ({"namespace": ""}, "b"),
        ({"tenant": "acme"}, "ab"),
        ({"agent": "one"}, "ad"),
        ({"model": "llama"}, "b"),
        ({"task": "general"}, "bc"),
        ({"namespace": "x", "tenant": "other"}, "c"),
        ({}, "abcd"),
    ],
)
async def test_what_is_meant_goes_and_the_rest_stays(four, soon, what, gone):
    """A flush by any property removes the answers that have it, all of them and no others; a dry run removes none."""
    what = Selection(**what)

    counted = await flush(four.store, what, dry_run=True)
    before = await four.stored()
    removed = await flush(four.store, what)

    assert before == set(FOUR)
    assert counted.answers == removed.answers == len(gone)
    assert (removed.memory_bytes > 300 * len(gone)) is not what.by_name
    assert await four.stored() == {one for one in FOUR if one[0] not in gone}


async def test_by_age(four):
    """A flush by age removes what was stored before, at once, and nothing is said about what is on its way."""
    began = time.monotonic()

    tally = await flush(four.store, Selection(), older_than_s=60)

    assert tally.answers == 1
    assert time.monotonic() - began < 1
    assert await four.stored() == set(FOUR[:3])
    assert not (await Flushes(four.store).current()).moments


async def test_a_call_on_its_way_is_not_stored(scene):
    """What was asked before a flush and answered after it reaches who waits, and is not stored; the next one leads."""
    call = await scene.begin(FOUR[0], namespace="x")
    other = await scene.begin(FOUR[1], namespace="y")

    await flush(scene.store, Selection(namespace="x"))
    ended = await scene.end(call)
    await scene.end(other)

    assert [waiter.id for waiter in ended.waiters] == [call.waiter.id]
    assert await scene.stored() == {FOUR[1]}
    assert isinstance((await scene.admit(FOUR[0]))[0], Lead)
    assert isinstance((await scene.admit(FOUR[1]))[0], Hit)


async def test_what_is_asked_afterwards_is_stored(scene, soon):
    """After a flush the same question is asked, stored and found again."""
    await scene.answered(FOUR[0])
    tally = await flush(scene.store, Selection())
    assert tally.answers == 1

    await scene.answered(FOUR[0])

    assert isinstance((await scene.admit(FOUR[0]))[0], Hit)


async def test_under_load(scene, store):
    """While workers ask, call and store all the time, nothing that was asked before a flush is there after it."""
    workers = [Scene(store, Flights(store)) for _ in range(4)]
    stop = asyncio.Event()
    late = [await scene.begin(f"{n:032x}") for n in range(50)]

    async def work(one, number):
        count = 0
        while not stop.is_set():
            count += 1
            await one.answered(f"{number * 1_000_000 + count + 1_000:032x}")

    working = [asyncio.ensure_future(work(one, number)) for number, one in enumerate(workers)]
    while len(await scene.stored()) < 200:
        await asyncio.sleep(0.01)
    began_ms = store.clock.now_ms()
    flushing = asyncio.ensure_future(flush(store, Selection()))
    # Their ends fall before the flush has looked, while it looks, and after it.
    for call in late[:25]:
        await asyncio.sleep(0.1)
        await scene.end(call)
    tally = await flushing
    for call in late[25:]:
        await scene.end(call)
    left = [entry async for page in Entries(store).pages() for entry in page.entries]
    stop.set()
    await asyncio.gather(*working)

    assert tally.answers > 200
    assert left, "what was asked during and after the flush is stored again"
    assert all(entry.since_ms > began_ms for entry in left)
    for call in late:
        assert isinstance((await scene.admit(call.fingerprint))[0], Lead)


async def test_a_worker_that_was_frozen(scene, monkeypatch):
    """A worker that last read before the flush, and was stopped until after it, does not store its answer."""
    call = await scene.begin(FOUR[0])
    known = await scene.flights._flushes.current()
    await flush(scene.store, Selection())

    async def frozen(_):
        return Flushed(known.read_ms)

    monkeypatch.setattr(Flushes, "current", frozen)
    ended = await scene.end(call)

    assert ended.mine
    assert not await scene.stored()


async def test_records_of_an_older_version(scene, store, soon):
    """An answer that tells neither namespace nor agent is read as before, and is flushed with any namespace."""
    old = {"ok": True, "leader": "r", "stored_ms": store.clock.now_ms(), "tenant": "acme", "result": "text"}
    for one in FOUR[:2]:
        await store.command("SET", f"{store.prefix}:{{{one}}}:answer", msgspec.msgpack.encode(old), "PX", TTL_MS)
    await store.command("SET", f"{store.prefix}:{{{FOUR[2]}}}:answer", b"\xc1 nonsense", "PX", TTL_MS)
    hit, _ = await scene.admit(FOUR[0])

    tally = await flush(store, Selection(namespace="x", tenant="acme", agent="one"))

    assert isinstance(hit, Hit)
    assert hit.answer.namespace is None
    assert tally.answers == 3
    assert not await scene.stored()


async def test_old_moments_go(scene, store):
    """What was flushed a day ago goes with the next flush, and nothing in the list can be evicted."""
    day_ms = 24 * 3600 * 1000
    await store.command("HSET", f"{store.prefix}:flushed", '{"tenant":"old"}', store.clock.now_ms() - day_ms - 10_000)

    await Flushes(store).mark(Selection(tenant="acme"))

    assert set((await Flushes(store).current()).moments) == {Selection(tenant="acme")}
    assert await store.command("TTL", f"{store.prefix}:flushed") == -1
