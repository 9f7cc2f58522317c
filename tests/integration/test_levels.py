"""What anybody can see of the budgets, on a real Redis."""

import pytest

from optimizer_config.amounts import Amounts
from optimizer_config.model import Backend, BreakerSettings, Limit, Reset
from optimizer_state.budget import Ask, Budget, Grant, Settled, Wait
from optimizer_state.estimates import Lesson
from optimizer_state.learned import Learned
from optimizer_state.level_reader import LevelsReader
from optimizer_state.levels import Breaker
from optimizer_state.outlook import Outlook
from optimizer_state.presence import Presence, Roster
from optimizer_state.settings import Settings
from optimizer_state.store import RedisAway, Store

LIMITS = (
    Limit("rpm", "requests", 10, 60),
    Limit("tpm[big]", "tokens", 1_000, 60, models=("big",)),
    Limit("usd_per_day", "usd", 2_000_000, 86_400, reset=Reset("day")),
)
BACKEND = Backend(
    "b", "openai", "http://localhost", ("m", "big"), LIMITS, concurrency=4, breaker=BreakerSettings(failures=2)
)
ONE = Amounts()
IDLE = Backend("idle", "openai", "http://localhost", ("m",))


@pytest.fixture
async def budget(store):
    """The budget of one worker that Redis knows, with the time for others to speak over."""
    budget = Budget(store, BACKEND, "w1")
    await budget.restore()
    await store.command("HDEL", f"{store.prefix}:{{backend:b}}:gate", "grace")
    return budget


async def look(store):
    """The levels of the backend."""
    return (await LevelsReader(store).of([BACKEND]))["b"]


async def call(budget, name, settled=None, model="m", amounts=ONE):
    """Reserve a call, and settle it if it is said how it ended."""
    grant = await budget.reserve(Ask(name, model, amounts))
    assert isinstance(grant, Grant)
    return await budget.settle(grant, settled) if settled else grant


def numbers(levels):
    """(used, reserved, left) of each limit."""
    return {limit.name: (limit.used, limit.reserved, limit.left) for limit in levels.limits}


async def test_an_unused_backend_has_everything_left(store):
    """Where nothing was ever used, all is left, nothing frees, and nothing stands in the way."""
    levels = await look(store)

    assert numbers(levels) == {"rpm": (0, 0, 10), "tpm[big]": (0, 0, 1_000), "usd_per_day": (0, 0, 2_000_000)}
    assert {limit.frees_ms for limit in levels.limits} == {None}
    assert (levels.breaker, levels.mode, levels.blocked_ms, levels.workers) == (Breaker(), None, 0, 0)


async def test_calls_in_flight_are_reserved_and_ended_ones_used(store, budget):
    """A call holds its estimate while it flies, and its real usage afterwards, in every limit of its model."""
    await call(budget, "flying", model="big", amounts=Amounts(1, 100, 50, 3_000))
    await call(budget, "ended", Settled(5, Amounts(1, 200, 20, 1_000)), "big", Amounts(1, 100, 50, 3_000))
    await call(budget, "other", Settled(5, Amounts(1, 70, 7, 500)), "m", Amounts(1, 70, 7, 500))

    levels = await look(store)

    assert numbers(levels) == {
        "rpm": (2, 1, 7),
        "tpm[big]": (220, 150, 630),
        "usd_per_day": (1_500, 3_000, 1_995_500),
    }
    assert levels.concurrency.reserved == 1
    assert 55_000 < levels.limits[0].frees_ms <= 61_300
    assert 0 < levels.limits[2].frees_ms <= 86_400_000


async def test_what_frees_is_what_a_worker_waits_for(store, budget):
    """The time until the next part frees is the time that a worker is told to wait when nothing is left."""
    for i in range(10):
        await call(budget, f"r{i}", Settled(5))

    wait = await budget.reserve(Ask("next", "m"))

    assert isinstance(wait, Wait)
    assert abs(wait.ms - (await look(store)).limits[0].frees_ms) < 200


async def test_looking_changes_nothing(store, budget):
    """However often somebody looks, no key of the budget changes."""
    await call(budget, "ended", Settled(5))
    before = sorted(await store.command("KEYS", f"{store.prefix}*"))
    dumps = [await store.command("DUMP", key) for key in before]

    for _ in range(3):
        await look(store)

    assert sorted(await store.command("KEYS", f"{store.prefix}*")) == before
    assert [await store.command("DUMP", key) for key in before] == dumps


async def test_set_counts_and_modes_are_seen_with_what_is_configured(store, budget):
    """A count that an operator set holds at the next reservation, and is shown beside the configured one."""
    settings = Settings(store)
    await call(budget, "first", Settled(5))
    await settings.set_limits("b", {"rpm": 1, "concurrency": 2})

    wait = await budget.reserve(Ask("next", "m"))
    levels = await look(store)

    assert isinstance(wait, Wait)
    assert wait.limit == "rpm"
    assert (levels.limits[0].count, levels.limits[0].configured, levels.limits[0].left) == (1, 10, 0)
    assert (levels.concurrency.count, levels.concurrency.configured) == (2, 4)

    await settings.unset_limits("b", ["rpm"])

    assert isinstance(await budget.reserve(Ask("next", "m")), Grant)


async def test_a_paused_backend_grants_nothing_until_it_is_resumed(store, budget):
    """From the moment of a pause no worker is granted a call; a drain stops none; resume lets them go on."""
    settings = Settings(store)
    await settings.pause("b")

    wait = await budget.reserve(Ask("next", "m"))

    assert isinstance(wait, Wait)
    assert (wait.limit, (await look(store)).mode) == ("paused", "paused")

    await settings.drain("b")

    assert isinstance(await budget.reserve(Ask("next", "m")), Grant)
    assert (await look(store)).mode == "draining"

    await settings.resume("b")

    assert (await look(store)).mode is None


async def test_a_block_is_seen_with_its_reason(store, budget):
    """A block tells how long it lasts and why."""
    await budget.block(30, "throttled")

    levels = await look(store)

    assert 29_000 < levels.blocked_ms <= 30_000
    assert levels.blocked_reason == "throttled"


async def test_the_breaker_is_seen(store, budget):
    """Failures that count are seen while the breaker is closed, and for how long it stays open once it is."""
    await call(budget, "a", Settled(5, health="ill"))

    assert (await look(store)).breaker == Breaker("closed", 1)

    await call(budget, "b", Settled(5, health="ill"))
    breaker = (await look(store)).breaker

    assert breaker.state == "open"
    assert 299_000 < breaker.open_ms <= 300_000


async def test_workers_outlook_and_estimates_are_seen(store):
    """Who lives, when a call could start, and what was learned of each model belong to what is seen."""
    roster, learned = Roster(store), Learned(store, BACKEND)
    for name in ("w1", "w2"):
        await roster.beat(Presence("b", name))
    await roster.tell(Presence("b", "w"), Outlook(store.clock.now_ms() + 5_000, 100, "rpm"))
    learned.estimates.add("big", chars=100, input_tokens=30, output_tokens=20, micro_usd=5)
    await learned.exchange()

    levels = await LevelsReader(store).of([BACKEND, IDLE])

    assert (levels["b"].workers, levels["idle"].workers) == (2, 0)
    assert levels["b"].outlook.reason == "rpm"
    assert levels["b"].learned == {"big": Lesson(1, 100, 30, 20, 10_000, 3_000, 5, levels["b"].learned["big"].outputs)}


async def test_without_redis_nothing_is_seen(prefix):
    """While Redis is away, looking says so."""
    store = Store("redis://127.0.0.1:1/0", prefix)
    with pytest.raises(RedisAway):
        await LevelsReader(store).of([BACKEND])
    await store.close()
