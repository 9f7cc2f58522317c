"""The turn scripts on a real Redis: who may run, in which order, and what happens to those that never come or go."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import pytest

from optimizer_state.admission import Admission
from optimizer_state.answer import Answer
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway, Store
from optimizer_state.turns import Go, Superseded, Turn, Turns, Waits, taken
from optimizer_wire.messages import Call, Hop, Waiter

KEY = "document 7"


@dataclass
class Line:
    """The requests of one ordering key, as their coordinators see them."""

    store: Store
    key: str = KEY
    told: dict[str, Waits] = field(default_factory=dict)
    made: dict[str, Turn] = field(default_factory=dict)

    def turn(self, name, *, after=None, supersede=False, left_ms=30_000, client="c", tenant="t"):
        """What a request says of itself; the same for the same name."""
        now_ms = self.store.clock.now_ms()
        if name not in self.made:
            waiter = Waiter(name, f"replies.{client}", now_ms + left_ms, "agent", tenant, since_ms=now_ms)
            self.made[name] = Turn(self.key, waiter, f"flight of {name}", after, supersede)
        return self.made[name]

    async def take(self, name, **more):
        """Ask once: 'go', 'superseded' or 'wait'."""
        verdict = await self.ask(name, **more)
        return {Go: "go", Superseded: "superseded", Waits: "wait"}[type(verdict)]

    async def ask(self, name, **more):
        """Ask once."""
        turn, told = self.turn(name, **more), self.told.get(name)
        step = Turns(self.store).take(turn, told.place if told else 0)
        (reply,) = await self.store.run([step])
        verdict = taken(reply)
        if isinstance(verdict, Waits):
            self.told[name] = verdict
        return verdict

    async def leave(self, name, *, only_waiting=False, **more):
        """The request has ended."""
        turn = self.turn(name, **more)
        await Turns(self.store).leave(self.key, turn.waiter, after=turn.after, only_waiting=only_waiting)

    async def keep(self, name):
        """Its worker says that its call runs."""
        turns = Turns(self.store)
        call = Call(1, "f" * 32, 1, 1, self.made[name].waiter, {}, (Hop("b", "m"),), ordering_key=self.key)
        await self.store.run([turns._keep_step(call)])

    async def forget(self):
        """Redis loses everything of this key."""
        base = Turns(self.store).line("t", self.key)
        for key in await self.store.command("KEYS", base.replace("[", "\\[") + "*"):
            await self.store.command("DEL", key)


@pytest.fixture
def line(store):
    """One ordering key."""
    return Line(store)


async def test_one_after_another(line):
    """The first has the turn, the others wait in the order of their arrival; each goes when the one before has left."""
    assert [await line.take(name) for name in "abc"] == ["go", "wait", "wait"]
    assert await line.take("a") == "go"

    await line.leave("a")
    assert [await line.take(name) for name in "cb"] == ["wait", "go"]
    await line.leave("b")
    assert await line.take("c") == "go"


async def test_another_key_or_tenant_is_another_line(line, store):
    """Requests of other keys, and of the same key of another tenant, do not wait for each other."""
    other = Line(store, key="another")

    assert await line.take("a") == "go"
    assert await other.take("b") == "go"
    assert await line.take("c", tenant="u") == "go"


async def test_two_clients_may_choose_the_same_id(line, store):
    """The same id of another client is another request."""
    twin = Line(store)

    assert await line.take("a", client="one") == "go"
    assert await twin.take("a", client="two") == "wait"


async def test_what_comes_after_one_that_waits_waits_for_it(line):
    """A request that arrives before the one that it comes after goes after it all the same."""
    await line.take("running")
    await line.take("b", after="a")
    await line.take("a")
    await line.leave("running")

    assert [await line.take(name) for name in "ba"] == ["wait", "go"]
    await line.leave("a")
    assert await line.take("b") == "go"


async def test_one_that_has_not_arrived_is_waited_for(line):
    """A request waits for the one that it comes after to arrive; those of other clients pass meanwhile."""
    assert await line.take("b", after="a") == "wait"
    assert await line.take("other", client="d") == "go"
    await line.leave("other")

    assert await line.take("a") == "go"
    assert await line.take("b") == "wait"


async def test_one_that_never_arrives_is_waited_for_two_seconds(line):
    """What was never published delays the next of its key by two seconds and no more."""
    asked_at = asyncio.get_running_loop().time()
    while await line.take("b", after="never published") == "wait":
        await asyncio.sleep(0.05)

    assert 1.9 < asyncio.get_running_loop().time() - asked_at < 3


async def test_one_that_ended_is_not_waited_for(line):
    """What comes after a request that has ended goes at once."""
    await line.take("a")
    await line.leave("a")

    assert await line.take("b", after="a") == "go"


async def test_one_that_needed_no_turn_passes_the_order_on(line):
    """What comes after a hit comes after what the hit came after."""
    await line.take("running", client="d")
    await line.take("c", after="b")
    await line.leave("b", after="a")
    await line.take("a")
    await line.leave("running", client="d")

    assert await line.take("c") == "wait"
    assert await line.take("a") == "go"


async def test_one_that_gives_up_passes_the_order_on(line):
    """What comes after a request that stops waiting still comes after those before that one."""
    await line.take("running", client="d")
    await line.take("c", after="b")
    await line.take("b", after="a")
    await line.take("a")
    await line.leave("b")
    await line.leave("running", client="d")

    assert await line.take("c") == "wait"
    assert await line.take("a") == "go"


async def test_a_turn_lapses_with_its_deadline(line):
    """A request that dies with its turn keeps it until half a second after its deadline, and no longer."""
    await line.take("dies", left_ms=100)
    asked_at = asyncio.get_running_loop().time()
    while await line.take("b") == "wait":
        await asyncio.sleep(0.02)

    assert 0.5 < asyncio.get_running_loop().time() - asked_at < 1.5


async def test_waiting_ends_with_the_deadline(line):
    """Requests that wait past their deadline stand in nobody's way, whether somebody comes after them or not."""
    await line.take("running")
    await line.take("late", left_ms=50)
    await line.take("b", after="late")
    await asyncio.sleep(0.1)
    await line.leave("running")

    assert await line.take("b") == "go"


async def test_a_newer_one_takes_the_place_of_those_that_wait(line):
    """Superseding spares the one that has the turn and those that come later; everything between is over."""
    await line.take("running")
    for name in "bc":
        await line.take(name)
    await line.take("other", client="d")
    assert await line.take("new", supersede=True) == "wait"
    await line.take("later")

    assert [await line.take(name) for name in ("b", "c", "other")] == ["superseded"] * 3
    await line.leave("running")
    assert [await line.take(name) for name in ("later", "new")] == ["wait", "go"]


async def test_nobody_supersedes_for_others(line):
    """Superseding takes the place of requests of one's own RabbitMQ user only; those of others keep theirs."""
    await line.take("running", client="anna.1")
    await line.take("waiting", client="anna.1")
    await line.take("own", client="bert.1")
    newer = await line.ask("newer", client="bert.2", supersede=True)

    assert newer.older is None
    assert [await line.take(name) for name in ("waiting", "own")] == ["wait", "superseded"]
    await line.leave("running")
    assert [await line.take(name) for name in ("newer", "waiting")] == ["wait", "go"]


async def test_the_superseded_are_those_before_it_in_its_clients_order(line):
    """Older ones that arrive later are superseded then; newer ones that arrived before are not."""
    await line.take("running", client="d")
    await line.take("e", after="d")
    await line.take("d", after="c", supersede=True)
    await line.take("b", after="a")
    assert await line.take("c", after="b") == "superseded"

    assert [await line.take(name) for name in "ba"] == ["superseded", "superseded"]
    await line.leave("running", client="d")
    assert [await line.take(name) for name in "ed"] == ["wait", "go"]


async def test_superseding_names_the_one_that_has_the_turn(line):
    """Whoever supersedes learns who has the turn, to withdraw it; nobody else does, and not of a newer one."""
    await line.take("first")
    plain = await line.ask("plain")
    newer = await line.ask("newer", supersede=True)

    assert plain.older is None
    assert (newer.older.fingerprint, newer.older.waiter) == ("flight of first", line.turn("first").waiter)

    await line.leave("first")
    await line.take("blocked", after="unknown", supersede=True)
    await line.take("passes", client="d")
    await line.leave("newer")
    assert await line.take("passes") == "go"
    assert (await line.ask("blocked")).older is None


async def test_cancelling_leaves_a_turn_that_is_used(line):
    """With `only_waiting` a request stops waiting, but keeps the turn that it has."""
    await line.take("a")
    await line.take("b")
    await line.take("c")
    await line.leave("a", only_waiting=True)
    await line.leave("b", only_waiting=True)

    assert await line.take("c") == "wait"
    await line.leave("a")
    assert await line.take("c") == "go"


async def test_every_script_may_be_repeated(line):
    """A reply may be lost: asking and leaving again changes nothing."""
    assert [await line.take("a"), await line.take("a"), await line.take("b"), await line.take("b")] == [
        "go",
        "go",
        "wait",
        "wait",
    ]
    await line.leave("a")
    await line.leave("a")
    assert await line.take("b") == "go"
    await line.leave("a")
    assert (await line.take("b"), await line.take("c")) == ("go", "wait")


async def test_a_redis_that_forgot_everything_is_told_again(line):
    """After a loss the worker says that its call has the turn, and the others that they wait: nobody goes before."""
    for name in "abc":
        await line.take(name)
    await line.forget()

    assert await line.take("c") == "wait"
    await line.keep("a")
    assert [await line.take(name) for name in "cb"] == ["wait", "wait"]
    await asyncio.sleep(0.8)
    assert [await line.take(name) for name in "cb"] == ["wait", "wait"]
    await line.leave("a")
    assert [await line.take(name) for name in "cb"] == ["wait", "go"]


async def test_nobody_goes_for_a_moment_after_a_loss(line):
    """Where nothing runs, those who wait go on in their order as soon as all can have told their places."""
    for name in "abc":
        await line.take(name)
    await line.leave("a")
    await line.forget()

    assert [await line.take(name) for name in "cb"] == ["wait", "wait"]
    async with asyncio.timeout(2):
        while await line.take("b") == "wait":
            assert await line.take("c") == "wait"
            await asyncio.sleep(0.05)
    assert await line.take("c") == "wait"


async def test_a_running_call_keeps_telling_that_it_has_the_turn(line, store):
    """From its begin to its end a worker tells Redis of a keyed call again and again."""
    turns = Turns(store)
    call = Call(1, "f" * 32, 1, 1, line.turn("a").waiter, {}, (Hop("b", "m"),), ordering_key=KEY)
    turns.begin(replace_key(call, None))
    turns.begin(call)
    await line.take("a")
    await line.forget()

    async with asyncio.timeout(2):
        while not await store.command("EXISTS", turns.line("t", KEY) + ":turn"):
            await asyncio.sleep(0.01)
    assert await line.take("b") == "wait"
    await turns.end(msgspec.structs.replace(call, number=2))
    assert await line.take("b") == "go"


async def test_a_turn_that_ended_during_the_loss_is_not_restored(line):
    """Who had the turn and left after the loss does not get it back, nor does one past its deadline."""
    await line.take("a")
    await line.take("late", left_ms=1)
    await line.forget()
    await line.leave("a")
    await asyncio.sleep(0.01)
    for name in ("a", "late"):
        await line.keep(name)

    assert await line.take("b") == "go"
    await line.keep("a")
    assert await line.take("c") == "wait"
    await line.leave("b")
    assert await line.take("c") == "go"


async def test_a_circle_ends_with_its_deadline(line):
    """Requests that name each other wait for their deadline, and in nobody else's way."""
    assert await line.take("self", after="self") == "go"
    await line.leave("self")
    await line.take("a", after="b", left_ms=200)
    await line.take("b", after="a", left_ms=60_000)
    assert await line.take("c", client="d") == "go"
    await line.leave("c", client="d")
    await asyncio.sleep(0.3)

    assert await line.take("b") == "go"


async def test_a_circle_of_ended_ones_ends(line):
    """A circle of marks is not followed for ever."""
    await line.leave("a", after="b")
    await line.leave("b", after="a")

    assert await line.take("c", after="a") == "wait"
    assert await line.take("d", after="c", supersede=True) == "wait"


async def test_its_keys_go_by_themselves(line, store):
    """Everything that is kept of a line has a time to live."""
    await line.take("a")
    await line.take("b", after="x", supersede=True)
    await line.take("c", supersede=True)
    await line.leave("a")

    keys = await store.command("KEYS", Turns(store).line("t", KEY) + "*")
    assert len(keys) >= 4
    assert min([await store.command("PTTL", key) for key in keys]) > 0


async def test_leaving_is_owed_while_redis_is_away(private_redis, prefix):
    """A worker that cannot say that its call has ended says so when Redis is back."""
    store = Store(private_redis.url, prefix)
    await store.synchronise_clock()
    line, turns = Line(store), Turns(store)
    waiter = line.turn("a").waiter
    await line.take("a")
    await line.take("b")
    private_redis.pause()
    call = Call(1, "f" * 32, 1, 1, waiter, {}, (Hop("b", "m"),), ordering_key=KEY)
    await turns.end(replace_key(call, None))
    await turns.end(call)
    private_redis.resume()
    await store_answers(store)

    async with asyncio.timeout(10):
        while await line.take("b") != "go":
            await asyncio.sleep(0.05)
    await store.close()


def replace_key(call, key):
    """The same call with another ordering key."""
    return msgspec.structs.replace(call, ordering_key=key)


async def store_answers(store):
    """Wait until Redis is back."""
    async with asyncio.timeout(10):
        while True:
            with suppress(RedisAway):
                return await store.synchronise_clock()
            await asyncio.sleep(0.05)


# ── withdrawing a call that has not begun ────────────────────────────────────────────────────────────────────────────


async def led(store, name="a", number=1):
    """A call that was published."""
    now_ms = store.clock.now_ms()
    waiter = Waiter(name, f"replies.{name}", now_ms + 30_000, "agent", "t", since_ms=now_ms)
    (admitted,) = await Flights(store).admit([Admission("f" * 32, waiter, may_read=True)])
    return Call(1, "f" * 32, admitted.flight, number, waiter, {}, (Hop("b", "m"),))


async def test_a_call_that_has_not_begun_is_withdrawn(store):
    """Withdrawn, it ends where a worker wants to begin it; to withdraw it again says the same."""
    flights = Flights(store)
    call = await led(store)

    assert await flights.withdraw(call.fingerprint, call.waiter) == 0
    assert await flights.withdraw(call.fingerprint, call.waiter) == 0
    assert (await flights.begin(call, "o", redelivered=False)).verdict == "nobody"


async def test_a_call_that_has_begun_is_left_alone(store):
    """Neither a running call, nor one between two backends, nor one that has ended is withdrawn."""
    flights = Flights(store)
    call = await led(store)
    await flights.begin(call, "o", redelivered=False)

    assert await flights.withdraw(call.fingerprint, call.waiter) is None
    await flights.release(call, "o")
    assert await flights.withdraw(call.fingerprint, call.waiter) is None
    call = msgspec.structs.replace(call, number=2)
    await flights.begin(call, "p", redelivered=False)
    await flights.complete(call, "p", Answer(ok=True, leader="a", stored_ms=1), store_ttl_ms=0)
    assert await flights.withdraw(call.fingerprint, call.waiter) is None


async def test_others_of_a_withdrawn_flight_are_served(store):
    """A withdrawn request leaves its flight to those who joined it."""
    flights = Flights(store)
    call = await led(store)
    joined = Waiter("j", "replies.j", call.waiter.deadline_ms, "agent", "t")
    await flights.admit([Admission(call.fingerprint, joined, may_read=True)])

    assert await flights.withdraw(call.fingerprint, call.waiter) == 1
    assert (await flights.begin(call, "o", redelivered=False)).verdict == "run"


# ── whatever happens ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(25))
async def test_order_and_exclusion(store, seed):
    """In any order of arrival: never two at once, each client's in its order, and everything ends."""
    chance, line = random.Random(seed), Line(store)
    chains = {client: [f"{client}{i}" for i in range(chance.randint(1, 6))] for client in "xyz"}
    names = [name for chain in chains.values() for name in chain]
    after = {name: previous for chain in chains.values() for previous, name in pairwise(chain)}
    superseding = set(chance.sample(names, chance.choice([0, 0, 1, 2])))
    arriving = chance.sample(names, len(names))
    waiting, ended, running = [], {"go": [], "superseded": []}, None
    while arriving or waiting:
        if arriving:
            waiting.append(arriving.pop())
        for name in chance.sample(waiting, len(waiting)):
            verdict = await line.take(name, after=after.get(name), supersede=name in superseding, client=name[0])
            if verdict != "wait":
                waiting.remove(name)
                ended[verdict].append(name)
            if verdict == "go":
                assert running is None
                running = name
        if running and chance.random() < 0.6:
            await line.leave(running)
            running = None

    assert sorted(ended["go"] + ended["superseded"]) == sorted(names)
    for chain in chains.values():
        assert [name for name in ended["go"] if name in chain] == [name for name in chain if name in ended["go"]]
    assert superseding or not ended["superseded"]
