"""Budgets while Redis is away, after answers were lost, and after Redis lost its memory."""

import asyncio
import time

import pytest
from tests.support.budgets import RPM, ask, backend, granted, key_of, refused, slots_of, worker

from optimizer_config.amounts import Amounts
from optimizer_config.model import BreakerSettings, Limit
from optimizer_state.budget import BreakerChange, Budget, Grant, Settled
from optimizer_state.budget_steps import reserve_step
from optimizer_state.store import NotSent, RedisAway, Store
from optimizer_state.windows import Window

BREAKER = BreakerSettings(failures=3, within_s=10.0, open_s=20.0)
TPM = Limit("tpm", "tokens", 1_000, 60.0)
ILL, WELL = Settled(1, health="ill"), Settled(1, health="well")


class Faulty:
    """A store that is away, or does what it is told and loses the answer."""

    def __init__(self, store):
        self._store, self.away, self.lose = store, False, 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def run(self, steps):
        if self.away:
            raise NotSent("away")
        answers = await self._store.run(steps)
        if self.lose:
            self.lose -= 1
            raise RedisAway("the answer was lost")
        return answers


def faulty(budget):
    """Make a worker's store faulty."""
    budget._store = Faulty(budget._store)
    return budget._store


async def forget(store):
    """Let Redis lose its memory."""
    for key in await store.command("KEYS", f"{store.prefix}:*"):
        await store.command("DEL", key)


async def in_all(store, limit):
    """What counts of a limit, calls in flight too."""
    flying = int(await store.command("HGET", key_of(store, "flying"), limit) or 0)
    return flying + sum((await slots_of(store, limit)).values())


async def test_what_the_fleet_used_is_taken_off_the_share(store):
    """Without Redis a worker shares what the whole fleet had left when it last looked."""
    one, other = await worker(store, RPM), await worker(store, RPM, name="w2")
    for name in "ab":
        await other.settle(await granted(other, name), WELL)
    await one.remind()
    faulty(one).away = True

    assert [isinstance(await one.reserve(ask(name)), Grant) for name in "cdef"] == [True, True, False, False]
    assert (await refused(one, "g")).limit == "own share"


async def test_a_lost_answer_does_not_charge_twice(store):
    """What was used in an outage is charged once, however often the answer to the telling is lost."""
    budget = await worker(store, TPM)
    link = faulty(budget)
    link.away = True
    for name in "ab":
        await budget.settle(await granted(budget, name, input_tokens=100), Settled(1))
    link.away, link.lose = False, 3
    for _ in range(3):
        await budget.remind()
        assert await in_all(store, "tpm") == 200
    await budget.remind()
    link.away = True
    await budget.settle(await granted(budget, "c", input_tokens=100), Settled(1, used=Amounts(1, 50)))
    link.away = False
    await budget.remind()

    assert await in_all(store, "tpm") == 250


async def test_a_lost_answer_before_a_loss_of_memory(store):
    """If Redis loses its memory after a telling whose answer was lost, all is told anew, once."""
    budget = await worker(store, TPM)
    await budget.settle(await granted(budget, "a", input_tokens=100), Settled(1))
    link = faulty(budget)
    link.away = True
    await budget.settle(await granted(budget, "b", input_tokens=30), Settled(1))
    link.away, link.lose = False, 1
    await budget.remind()
    await forget(store)
    await budget.remind()

    assert await in_all(store, "tpm") == 130


async def test_a_lost_answer_to_a_reservation(store):
    """A reservation whose answer was lost is given back unless the worker goes on with it alone."""
    budget = await worker(store, TPM)
    link = faulty(budget)
    link.lose = 1
    alone = await granted(budget, "a", input_tokens=100)
    await budget.remind()
    assert await in_all(store, "tpm") == 100
    await budget.settle(alone, Settled(1, used=Amounts(1, 70)))

    assert await in_all(store, "tpm") == 70
    assert await store.command("ZCARD", key_of(store, "leases")) == 0


async def test_a_lost_answer_to_a_settlement(store):
    """A call whose settling got no answer is counted at least once, and holds nothing."""
    budget = await worker(store, TPM)
    link = faulty(budget)
    grants = [await granted(budget, name, input_tokens=100) for name in "ab"]
    link.away = True
    await budget.settle(grants[0], Settled(1, used=Amounts(1, 60)))
    link.away = False
    await budget.settle(grants[1], Settled(1, used=Amounts(1, 40)))
    await budget.remind()

    assert await in_all(store, "tpm") == 100
    assert await store.command("ZCARD", key_of(store, "leases")) == 0


async def test_a_loss_of_memory_is_noticed_without_any_call(store):
    """A worker that has nothing to do tells what it used soon after Redis lost its memory."""
    budget = await worker(store, TPM)
    await budget.settle(await granted(budget, "a", input_tokens=100), Settled(1))
    await granted(budget, "flying", input_tokens=40)
    await forget(store)
    await budget.remind()

    assert await in_all(store, "tpm") == 140
    assert await store.command("ZRANGE", key_of(store, "leases"), 0, -1) == [b"flying"]


async def test_a_written_call_after_a_loss_of_memory(store):
    """A call that was known to be written goes on counting where it arrived, and is settled there."""
    budget = await worker(store, Limit("tps", "tokens", 100, 0.8))
    grant = await granted(budget, "a", input_tokens=60)
    budget.written(grant)
    await asyncio.sleep(0.45)
    await budget.remind()
    before = await slots_of(store, "tps")
    await forget(store)
    await budget.remind()
    after = await slots_of(store, "tps")
    flying = await store.command("EXISTS", key_of(store, "flying"))
    await budget.settle(grant, Settled(450, used=Amounts(1, 20)))

    # What is told is in this worker's reckoning of Redis' clock, to which it has 75 ms of margin: five of these slots.
    assert [*after.values()] == [*before.values()] == [60]
    assert abs(sum(after) - sum(before)) <= 5
    assert flying == 0
    assert await in_all(store, "tps") == 20


async def test_a_written_call_that_ends_in_an_outage(store):
    """A call that was known to be written and ended in an outage counts once, with what it really took."""
    budget = await worker(store, Limit("tps", "tokens", 100, 0.8))
    grant = await granted(budget, "a", input_tokens=60)
    budget.written(grant)
    await asyncio.sleep(0.45)
    await budget.remind()
    link = faulty(budget)
    link.away = True
    await budget.settle(grant, Settled(450, used=Amounts(1, 20)))
    link.away = False
    await budget.remind()

    assert await in_all(store, "tps") == 20
    assert await store.command("ZCARD", key_of(store, "leases")) == 0


async def test_stops_outlive_a_loss_of_memory(store):
    """Blocks, an open breaker and what operators set are known again from the workers that saw them."""
    budget = await worker(store, RPM, breaker=BREAKER)
    for name in "abc":
        await budget.settle(await granted(budget, name), ILL)
    await budget.block(50.0, "quota of the day")
    await store.command("HSET", key_of(store, "settings"), "limit:rpm", 4)
    await budget.remind()
    await forget(store)
    await budget.remind()

    gate = await store.command("HGETALL", key_of(store, "gate"))
    assert gate[b"reason"] == b"quota of the day"
    assert int(gate[b"blocked"]) > store.clock.now_ms() + 49_000
    assert int(gate[b"open"]) > store.clock.now_ms() + 19_000
    assert await store.command("HGETALL", key_of(store, "settings")) == {b"limit:rpm": b"4"}


async def test_settings_of_a_restored_redis_are_newer(store):
    """A worker that comes back late does not undo what operators have set since."""
    late = await worker(store, RPM)
    await store.command("HSET", key_of(store, "settings"), "mode", "paused")
    await late.remind()
    await forget(store)
    await worker(store, RPM, name="other")
    await late.remind()

    assert await store.command("EXISTS", key_of(store, "settings")) == 0
    await granted(late, "a")


async def test_the_breaker_goes_on_in_an_outage(store):
    """Failures before and in an outage open the worker's own breaker, and the fleet's when Redis is back."""
    budget, other = await worker(store, RPM, breaker=BREAKER), await worker(store, RPM, name="w2", breaker=BREAKER)
    await budget.settle(await granted(budget, "a"), ILL)
    await budget.remind()
    link = faulty(budget)
    link.away = True
    changes = [await budget.settle(await granted(budget, name), ILL) for name in "bc"]
    wait = await refused(budget, "d")
    link.away = False
    await budget.remind()

    assert changes == [None, BreakerChange("open", 3, 20_000)]
    assert wait.limit == "breaker"
    assert (await refused(other, "e")).limit == "breaker"


async def test_one_probe_in_an_outage(store):
    """In an outage an open breaker lets one call of a worker through after its time, and its answer closes it."""
    budget = await worker(store, RPM, breaker=BREAKER)
    link = faulty(budget)
    link.away = True
    budget._alone.breaker.learn(store.clock.now_ms() - 1, ())
    probe = await granted(budget, "p")

    assert probe.probe == "breaker"
    assert (await refused(budget, "a")).limit == "breaker"
    assert await budget.settle(probe, WELL) == BreakerChange("closed")
    await granted(budget, "a")


async def test_a_block_in_an_outage(store):
    """What the backend says in an outage stops the worker, halves its share, and is told to all when Redis is back."""
    budget, other = await worker(store, RPM), await worker(store, RPM, name="w2")
    link = faulty(budget)
    link.away = True
    await budget.block(30.0, "rate limited")
    wait = await refused(budget, "a")
    link.away = False
    await budget.remind()

    assert wait.limit == "blocked"
    assert budget._alone.share.factor(store.clock.now_ms()) == 1.0
    assert (await refused(other, "b")).limit == "blocked"


async def test_a_pause_outlives_the_connection(store):
    """A backend that was paused when Redis was last looked at stays paused while it is away."""
    budget = await worker(store, RPM)
    await store.command("HSET", key_of(store, "settings"), "mode", "paused")
    await budget.remind()
    faulty(budget).away = True

    assert (await refused(budget, "a")).limit == "paused"


async def test_reminders_without_redis_are_quick(prefix):
    """Without Redis a reminder fails at once, and quietly."""
    store = Store("redis://127.0.0.1:1/0", prefix)
    budget = Budget(store, backend(RPM), "w1")
    async with asyncio.timeout(1.0):
        await budget.remind()
        await budget.remind()
    await store.close()

    assert budget.fleet_view.seen_ms == 0


async def test_the_scripts_serve_quotas_too(store):
    """Without a worker and a concurrency, reserving needs nobody to be known and counts on any key."""
    windows = (Window("agent:a:rpm", 2, 60_000), Window("fleet:rpm", 3, 60_000))
    key = f"{store.prefix}:{{quota}}"
    amounts = {window.name: 1 for window in windows}
    steps = [
        reserve_step(key, str(number), windows, amounts, store.clock.now_ms(), lease_ms=1_000) for number in range(3)
    ]
    replies = await store.run(steps)

    assert [reply[0] for reply in replies] == [b"granted", b"granted", b"wait"]
    assert replies[2][2] == b"agent:a:rpm"


async def until_back(store, budget):
    """Let a worker find out that Redis is back, and tell what it used; nobody is to wait for more."""
    async with asyncio.timeout(5):
        store._probing.cancel()
        store._probing = asyncio.ensure_future(store._probe())
        while store.away:
            await budget.remind()
            await asyncio.sleep(0.02)
        await budget.remind()
    await store.command("HDEL", key_of(store, "gate"), "grace")


class Two:
    """Two workers of one backend, each with connections of its own to a Redis that the test may kill."""

    def __init__(self, redis):
        self.redis, self.stores = redis, [Store(redis.url, "t") for _ in range(2)]
        self.budgets = []

    async def start(self, *limits, **fields):
        for number, store in enumerate(self.stores):
            await store.synchronise_clock()
            self.budgets.append(await worker(store, *limits, name=f"w{number}", **fields))
        for budget in self.budgets:
            budget.workers_seen = 2
            await budget.remind()

    async def outage(self):
        """Redis goes and comes back; the workers have seen the first, and not yet the second."""
        await asyncio.to_thread(self.redis.kill)
        for store, budget in zip(self.stores, self.budgets, strict=True):
            await budget.remind()
            assert store.away
            store._probing.cancel()
        await asyncio.to_thread(self.redis.start)

    async def grants(self, number, names):
        """What one worker is granted of these."""
        verdicts = [await self.budgets[number].reserve(ask(f"{number}-{name}")) for name in names]
        return [verdict for verdict in verdicts if isinstance(verdict, Grant)]

    async def close(self):
        for store in self.stores:
            await store.close()


@pytest.fixture
async def two(private_redis):
    two = Two(private_redis)
    yield two
    await two.close()


async def test_one_notices_later_that_redis_is_back(two):
    """Who is back first keeps to its share of before the outage until the other must have noticed; then all is used."""
    await two.start(Limit("rpm", "requests", 10, 60.0))
    await two.outage()
    (first, late), (store, other) = two.budgets, two.stores
    used = []
    for number, names in ((0, "abcdef"), (1, "ab")):
        grants = await two.grants(number, names)
        used.append(len(grants))
        for grant in grants:
            await two.budgets[number].settle(grant, WELL)

    await until_back(store, first)
    first.workers_seen = 1
    used.append(len(await two.grants(0, "ghi")))
    refusal = await refused(first, "share")
    used.append(len(await two.grants(1, "cdef")))
    await until_back(other, late)
    held = len(await two.grants(0, "j"))
    store._outages.back(time.monotonic() - 60)
    used.append(len(await two.grants(0, "klmno")))

    assert used == [4, 2, 0, 2, 2]
    assert (refusal.limit, first.workers_seen, held) == ("own share", 2, 0)
    assert refusal.ms <= 5_000
    assert (await refused(first, "full")).limit == "rpm"


async def test_who_rejoins_asks_redis_too(two):
    """A worker that keeps to its share after an outage gets no more than Redis has left."""
    await two.start(Limit("rpm", "requests", 10, 60.0))
    await two.outage()
    (first, late), (store, other) = two.budgets, two.stores
    await until_back(store, first)
    store._outages.back(time.monotonic() - 60)
    took = len(await two.grants(0, "abcdefghi"))
    await until_back(other, late)

    assert took == 9
    assert len(await two.grants(1, "abc")) == 1


async def test_concurrency_without_limits_after_an_outage(two):
    """Calls in flight that were granted without Redis hold their places when it is back, without any limit too."""
    await two.start(concurrency=4)
    await two.outage()
    flying = [len(await two.grants(number, "abc")) for number in (0, 1)]
    for store, budget in zip(two.stores, two.budgets, strict=True):
        await until_back(store, budget)
    for store in two.stores:
        store._outages.back(time.monotonic() - 60)

    assert flying == [2, 2]
    assert await two.stores[0].command("ZCARD", key_of(two.stores[0], "leases")) == 4
    assert (await refused(two.budgets[0], "more")).limit == "concurrency"


async def test_connections_from_before_an_outage(two):
    """Connections that broke while nobody looked do not make an outage, however many are used at once."""
    await two.start()
    store = two.stores[0]
    await asyncio.gather(*(store.command("PING") for _ in range(8)))
    await asyncio.to_thread(two.redis.kill)
    await asyncio.to_thread(two.redis.start)
    answers = await asyncio.gather(*(store.command("PING") for _ in range(8)))

    assert set(answers) <= {b"PONG", True}
    assert not store.away


async def test_commands_whose_connections_break(two):
    """Commands under way on connections that all break at once are done on new ones; others may have missed more."""
    await two.start(max_workers=2)
    store, killer = two.stores
    waiting = [asyncio.ensure_future(store.command("BLPOP", f"t:list:{i}", 0.15)) for i in range(5)]
    async with asyncio.timeout(2):
        while int((await killer.command("INFO", "clients"))["blocked_clients"]) < 5:
            await asyncio.sleep(0.01)
    await killer.command("CLIENT", "KILL", "TYPE", "normal")
    answers = await asyncio.gather(*waiting)

    assert answers == [None] * 5
    assert not store.away
    assert store.rejoin_ms(within_s=5.0) > 0
    assert len(await two.grants(0, "a")) == 1
