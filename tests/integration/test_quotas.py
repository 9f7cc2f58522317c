"""Quotas on a real Redis: who is let through, when there is room again, and what a call costs in the end."""

import asyncio

import pytest

from optimizer_config.amounts import Amounts
from optimizer_config.model import Limit, Reset
from optimizer_config.model import Quotas as Settings
from optimizer_state.grants import Settled
from optimizer_state.quota_reader import QuotaReader
from optimizer_state.quotas import Quotas, Wish
from optimizer_state.store import RedisAway, Store
from optimizer_wire.messages import Waiter


def limit(count, per_s=60.0, dimension="requests", name="rpm", **more):
    return Limit(name, dimension, count, per_s, **more)


@pytest.fixture
def quotas(store):
    def make(*, fleet=(), tenant=(), agent=(), **agents):
        named = {"fleet": tuple(fleet), "tenant": tuple(tenant), "agent": tuple(agent)}
        return Quotas(store, Settings("wait", {name: each for name, each in named.items() if each}, agents))

    return make


def waiter(store, name, agent="anna", tenant="blue"):
    return Waiter(name, f"replies.{name}", store.clock.now_ms() + 30_000, agent, tenant)


async def ask(store, quotas, name, agent="anna", tenant="blue", *, chars=0):
    """None if it was let through, else what is over."""
    wish = Wish(waiter(store, name, agent, tenant), chars)
    return quotas.reserved(wish, await store.run(quotas.reserve_steps(wish)))


async def let_through(store, quotas, names, agent="anna", tenant="blue"):
    return [name for name in names if await ask(store, quotas, name, agent, tenant) is None]


async def test_every_subject_has_its_own(store, quotas):
    """An agent, its tenant and the fleet each have a quota; a request needs room in all of them."""
    quota = quotas(fleet=[limit(6)], tenant=[limit(4)], agent=[limit(2)])

    assert await let_through(store, quota, "abc", "anna", "blue") == ["a", "b"]
    assert await let_through(store, quota, "def", "bert", "blue") == ["d", "e"]
    over = await ask(store, quota, "g", "carl", "blue")
    assert over.whose == "the quota of tenant blue (4 requests in 60 s)"
    # An agent of the same name in another tenant is another agent.
    assert await let_through(store, quota, "hij", "anna", "red") == ["h", "i"]
    over = await ask(store, quota, "k", "dora", "green")
    assert over.whose == "the quota of the fleet (6 requests in 60 s)"


async def test_an_agent_of_its_own_quota(store, quotas):
    """An agent with an entry of its own has that quota in place of the common one."""
    quota = quotas(agent=[limit(1)], anna=(limit(3),))

    assert await let_through(store, quota, "abcd", "anna") == ["a", "b", "c"]
    assert await let_through(store, quota, "ef", "bert") == ["e"]


async def test_whom_quotas_concern(quotas):
    """Without a quota that applies there is nothing to ask."""
    assert not quotas().concern("blue", "anna")
    assert not quotas(bert=(limit(1),)).concern("blue", "anna")
    assert quotas(anna=(limit(1),)).concern("blue", "anna")


async def test_room_again_exactly_then(store, quotas):
    """What is told is when there is room again: not before, and then indeed."""
    quota = quotas(agent=[limit(2, 1.0)])
    assert await let_through(store, quota, "ab") == ["a", "b"]
    over = await ask(store, quota, "c")
    assert over.sure
    assert 700 < over.ms <= 1_300

    await asyncio.sleep((over.ms - 100) / 1000)
    assert await ask(store, quota, "c") is not None
    await asyncio.sleep(0.1)
    assert await ask(store, quota, "c") is None


async def test_asking_again_costs_nothing(store, quotas):
    """A copy of a request that was let through is let through again, for nothing."""
    quota = quotas(agent=[limit(2)])

    assert await let_through(store, quota, "aaab") == ["a", "a", "a", "b"]
    assert await ask(store, quota, "c") is not None


async def test_not_called_after_all(store, quotas):
    """What was given back, or never written to a backend, is free."""
    quota = quotas(agent=[limit(1)])
    assert await let_through(store, quota, "ab") == ["a"]
    await quota.give_back(waiter(store, "b"))
    assert await let_through(store, quota, "b") == []
    await quota.give_back(waiter(store, "a"))
    assert await let_through(store, quota, "b") == ["b"]
    await quota.settle(waiter(store, "b"), Settled(None))
    assert await let_through(store, quota, "c") == ["c"]


async def test_it_counts_once(store, quotas):
    """A call that was made counts once, however often its end is told."""
    quota = quotas(agent=[limit(2)])
    await ask(store, quota, "a")
    for _ in range(3):
        await quota.settle(waiter(store, "a"), Settled(5.0, Amounts(1, 10, 10)))
    await quota.settle(waiter(store, "a"), Settled(None))

    assert await let_through(store, quota, "bc") == ["b"]


async def test_tokens_are_estimated_then_counted(store, quotas):
    """Tokens are reserved by guess, then by what the agent's calls used on average; what was used is what counts."""
    quota = quotas(agent=[limit(1_000, dimension="tokens", name="tpm")])
    assert await let_through(store, quota, "ab") == ["a"]
    over = await ask(store, quota, "b")
    assert not over.sure
    await quota.settle(waiter(store, "a"), Settled(5.0, Amounts(1, 60, 40)))

    assert await ask(store, quota, "b") is None
    await quota.settle(waiter(store, "b"), Settled(5.0, Amounts(1, 60, 40)))

    # 200 of 1,000 are used, and a call is known to take 100: that leaves room for eight.
    assert await let_through(store, quota, "cdefghijklmnop") == list("cdefghij")


async def test_spent_too_much_is_a_debt(store, quotas):
    """What a call used beyond its estimate is not forgiven; agents learn from their own calls alone."""
    quota = quotas(agent=[limit(1_000, dimension="tokens", name="tpm")])
    await ask(store, quota, "a")
    await quota.settle(waiter(store, "a"), Settled(5.0, Amounts(1, 900, 400)))

    assert await ask(store, quota, "b") is not None
    assert await ask(store, quota, "c", "bert") is None


async def test_money(store, quotas):
    """Money is counted in millionths, and told in dollars."""
    quota = quotas(agent=[limit(1_000_000, 86_400.0, "usd", "usd-per-day")])
    await ask(store, quota, "a")
    await quota.settle(waiter(store, "a"), Settled(5.0, Amounts(1, 10, 10, 600_000)))

    # The first look learns what a call costs.
    assert await let_through(store, quota, "b") == ["b"]
    await quota.settle(waiter(store, "b"), Settled(5.0, Amounts(1, 10, 10, 600_000)))
    over = await ask(store, quota, "c")
    assert over.whose == "the quota of agent anna ($1 in 86400 s)"


async def test_fixed_window(store, quotas):
    """A quota that begins anew at a time of day has room again then."""
    quota = quotas(agent=[limit(1, 86_400.0, name="rpd", reset=Reset())])
    assert await let_through(store, quota, "ab") == ["a"]
    over = await ask(store, quota, "b")

    now_ms = store.clock.now_ms()
    assert over.ms == pytest.approx(86_400_000 - now_ms % 86_400_000, abs=2_000)
    assert over.whose == "the quota of agent anna (1 requests a day)"


async def test_more_than_the_quota(store, quotas):
    """A request whose estimate is more than the whole quota waits for an empty window, not for ever."""
    quota = quotas(agent=[limit(100, dimension="tokens", name="tpm")])

    assert await let_through(store, quota, "ab") == ["a"]


async def test_without_redis(private_redis, prefix):
    """While Redis is away each coordinator lets through its share of 0.8, less what it let through itself."""
    store = Store(private_redis.url, prefix)
    await store.synchronise_clock()
    quota = Quotas(store, Settings("wait", {"agent": (limit(20),)}))
    try:
        await quota.meet("one")
        await quota.meet("other")
        assert quota.coordinators == 2
        assert await let_through(store, quota, "abc") == ["a", "b", "c"]
        private_redis.stop()
        with pytest.raises(RedisAway):
            await ask(store, quota, "d")

        verdicts = [quota.alone(Wish(waiter(store, str(number)))) for number in range(10)]

        assert [verdict is None for verdict in verdicts] == [True] * 5 + [False] * 5
        assert 55_000 < verdicts[-1].ms <= 60_000
        await quota.settle(waiter(store, "a"), Settled(None))
        await quota.give_back(waiter(store, "b"))
    finally:
        await store.close()


async def test_what_is_used_can_be_seen(store):
    """A look tells everybody's use of each quota, the tightest first, and leaves out those no longer configured."""
    named = Settings("wait", {"fleet": (limit(6),), "agent": (limit(2),)}, {"bert": (limit(4, name="own"),)})
    quota = Quotas(store, named)
    assert await let_through(store, quota, "ab", "anna", "blue") == ["a", "b"]
    assert await let_through(store, quota, "c", "bert", "blue") == ["c"]

    found = await QuotaReader(store, named).levels()

    seen = [(each.subject, each.who, each.level.name, each.level.used, each.level.left) for each in found]
    assert seen == [
        ("agent", "blue/anna", "rpm", 2, 0),
        ("fleet", "", "rpm", 3, 3),
        ("agent", "blue/bert", "own", 1, 3),
    ]
    assert all(59_000 < each.level.frees_ms <= 62_000 for each in found)
    assert await QuotaReader(store, Settings("wait", {"fleet": (limit(6, name="other"),)})).levels() == []
