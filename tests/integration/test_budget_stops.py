"""What stops all calls of a backend, on a real Redis: blocks, the circuit breaker, what operators set."""

from tests.support.budgets import RPM, granted, key_of, refused, worker

from optimizer_config.model import BreakerSettings
from optimizer_state.budget import Ask, BreakerChange, Settled
from optimizer_state.unblocking import Unblocked, unblock

BREAKER = BreakerSettings(failures=3, within_s=10.0, open_s=20.0)
RPH = {"concurrency": 50, "breaker": BREAKER}
ILL, WELL = Settled(1, health="ill"), Settled(1, health="well")


async def end_of(store, field):
    """Let what stops calls be over."""
    await store.command("HSET", key_of(store, "gate"), field, store.clock.now_ms() - 50)


async def opened(store, budget):
    """Let calls fail until the breaker opens; returns what each changed."""
    grants = [await granted(budget, f"f{number}") for number in range(3)]
    return [await budget.settle(grant, ILL) for grant in grants]


async def test_failures_open_the_breaker_for_everybody(store):
    """Enough failures of all workers together open the breaker for all of them, and one of them is told."""
    one, other = await worker(store, **RPH), await worker(store, name="w2", **RPH)
    changes = await opened(store, one)

    assert changes == [None, None, BreakerChange("open", 3, 20_000)]
    wait = await refused(other, "a")
    assert wait.limit == "breaker"
    assert 19_000 < wait.ms <= 20_000


async def test_other_ends_are_no_failures(store):
    """Answers, unknown ends and failures long ago do not open the breaker."""
    budget = await worker(store, **RPH)
    await store.command("ZADD", key_of(store, "failures"), store.clock.now_ms() - 11_000, "o1", 5, "o2")
    for number, settled in enumerate([WELL, ILL, Settled(1), Settled(None), ILL, WELL]):
        assert await budget.settle(await granted(budget, str(number)), settled) is None

    await granted(budget, "next")


async def test_one_probe_of_the_whole_fleet(store):
    """After its time the breaker lets exactly one call of the fleet through; its answer closes it."""
    one, other = await worker(store, **RPH), await worker(store, name="w2", **RPH)
    late = await granted(one, "late")
    await opened(store, one)
    await end_of(store, "open")
    probe = await granted(other, "probe")
    assert probe.probe == "breaker"
    assert (await other.reserve(_again(probe))).probe == "breaker"
    assert (await refused(one, "a")).limit == "breaker"
    assert await one.settle(late, WELL) is None
    assert (await refused(one, "a")).limit == "breaker"

    assert await other.settle(probe, WELL) == BreakerChange("closed")
    assert (await granted(one, "a")).probe == ""


def _again(grant):
    """The same wish once more: its answer was lost."""
    return Ask(grant.reservation, grant.model, grant.amounts)


async def test_a_probe_that_fails(store):
    """A probe that fails opens the breaker anew, and the failures before it do not count again afterwards."""
    budget = await worker(store, **RPH)
    await opened(store, budget)
    await end_of(store, "open")

    assert await budget.settle(await granted(budget, "p"), ILL) == BreakerChange("open", 1, 20_000)
    await end_of(store, "open")
    assert await budget.settle(await granted(budget, "q"), WELL) == BreakerChange("closed")
    assert await budget.settle(await granted(budget, "r"), ILL) is None
    await granted(budget, "s")


async def test_a_probe_that_says_nothing(store):
    """A probe that was never sent, or whose worker died, gives its place to the next call."""
    budget = await worker(store, **RPH)
    await opened(store, budget)
    await end_of(store, "open")
    unsent = await granted(budget, "p")
    assert await budget.settle(unsent, Settled(None)) is None
    assert (await granted(budget, "q")).probe == "breaker"
    await store.command("ZADD", key_of(store, "leases"), store.clock.now_ms() - 500, "q")

    assert (await granted(budget, "r")).probe == "breaker"


async def test_after_a_block_one_call_goes_first(store):
    """When a block is over one call goes first; the rest follow when it was answered."""
    one, other = await worker(store, **RPH), await worker(store, name="w2", **RPH)
    await one.block(5.0, "rate limited")
    wait = await refused(other, "a")
    await end_of(store, "blocked")
    first = await granted(other, "first")

    assert (wait.limit, first.probe) == ("blocked", "block")
    assert 4_000 < wait.ms <= 5_000
    assert (await refused(one, "a")).limit == "blocked"
    assert await other.settle(first, WELL) is None
    assert (await granted(one, "a")).probe == ""


async def test_a_first_call_that_is_refused_again(store):
    """If the call that goes first is refused too, the next block follows, and one call after it."""
    budget = await worker(store, **RPH)
    await budget.block(5.0, "rate limited")
    await end_of(store, "blocked")
    first = await granted(budget, "first")
    await budget.block(9.0, "rate limited")
    await budget.settle(first, WELL)

    assert (await refused(budget, "a")).ms > 8_000
    await end_of(store, "blocked")
    assert (await granted(budget, "second")).probe == "block"
    assert (await refused(budget, "a")).limit == "blocked"


async def test_a_first_call_that_says_nothing(store):
    """If the call that goes first was never sent, another goes first."""
    budget = await worker(store, **RPH)
    await budget.block(5.0, "rate limited")
    await end_of(store, "blocked")
    for name in "abc":
        grant = await granted(budget, name)
        assert grant.probe == "block"
        await budget.settle(grant, Settled(None))


async def test_blocks_only_extend(store):
    """A shorter block does not end a longer one."""
    budget = await worker(store, RPM)
    await budget.block(50.0, "quota of the day")
    await budget.block(1.0, "rate limited")
    await budget.remind()

    assert (await refused(budget, "a")).ms > 49_000
    assert budget.fleet_view.blocked_reason == "quota of the day"


async def test_operators_pause_a_backend(store):
    """A paused backend starts no call of any worker; a draining one goes on with what it has."""
    one, other = await worker(store, RPM), await worker(store, RPM, name="w2")
    await store.command("HSET", key_of(store, "settings"), "mode", "paused")
    assert [(await refused(w, "a")).limit for w in (one, other)] == ["paused", "paused"]
    await store.command("HSET", key_of(store, "settings"), "mode", "draining")
    await other.remind()

    await granted(one, "a")
    assert other.fleet_view.mode == "draining"


async def test_what_a_worker_sees(store):
    """A worker sees what the whole fleet uses, holds in flight and is stopped by."""
    one, other = await worker(store, RPM, **RPH), await worker(store, RPM, name="w2", **RPH)
    await one.settle(await granted(one, "a"), WELL)
    await granted(one, "b")
    await other.remind()
    before = other.fleet_view
    await one.settle(await granted(one, "c"), ILL)
    await one.settle(await granted(one, "d"), ILL)
    await one.settle(await granted(one, "e"), ILL)
    await other.remind()

    level = before.levels["rpm"]
    assert (level.count, level.used, level.flying, level.left) == (5, 2, 1, 3)
    assert (before.calls, before.concurrency, before.breaker) == (1, 50, "closed")
    assert other.fleet_view.breaker == "open"
    assert other.fleet_view.breaker_until_ms > store.clock.now_ms() + 19_000


async def test_refusals_in_a_row_block_ever_longer(store):
    """A backend that does not say how long is left alone for 1 s, then twice as long each time the first call fails."""
    budget = await worker(store)
    assert await budget.block(None, "throttled", (await granted(budget, "a")).reservation) == 1.0
    waits = []
    for name in "bcd":
        await end_of(store, "blocked")
        first = await granted(budget, name)
        waits.append(await budget.block(None, "throttled", first.reservation))

    assert waits == [2.0, 4.0, 8.0]


async def test_refusals_on_one_occasion_count_once(store):
    """Calls that were in flight when another one was refused do not make the block longer by being refused too."""
    budget = await worker(store)
    grants = [await granted(budget, name) for name in "abcd"]
    waits = [await budget.block(None, "throttled", grant.reservation) for grant in grants]

    assert max(waits) <= 1.0


async def test_what_the_backend_says_counts_once(store):
    """What the backend itself says is believed the first time; refused again after it, it is left alone for longer."""
    budget = await worker(store)
    assert await budget.block(0.2, "throttled", (await granted(budget, "a")).reservation) == 0.2
    await end_of(store, "blocked")

    assert await budget.block(0.2, "throttled", (await granted(budget, "b")).reservation) == 2.0


async def test_an_operator_lifts_a_block(store):
    """A block that is lifted lets one call go first and no other, until it was answered; how long it had is told."""
    one, other = await worker(store, **RPH), await worker(store, name="w2", **RPH)
    await one.block(60.0, "quota_day")
    assert (await refused(other, "a")).limit == "blocked"

    lifted = await unblock(store, "b")

    assert 59_000 < lifted.blocked_ms <= 60_000
    assert lifted.breaker_ms == 0
    first = await granted(other, "first")
    assert first.probe == "block"
    assert (await refused(one, "b")).limit == "blocked"
    await other.settle(first, WELL)
    await granted(one, "c")


async def test_an_operator_half_opens_a_breaker(store):
    """A breaker that is lifted lets one call try, which decides; a closed one stays closed."""
    budget = await worker(store, **RPH)
    assert await unblock(store, "b") == Unblocked(0, 0)
    await opened(store, budget)

    lifted = await unblock(store, "b")

    assert 19_000 < lifted.breaker_ms <= 20_000
    probe = await granted(budget, "probe")
    assert probe.probe == "breaker"
    assert (await refused(budget, "a")).limit == "breaker"
    assert await budget.settle(probe, ILL) == BreakerChange("open", 1, 20_000)
