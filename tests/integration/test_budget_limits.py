"""What the budget scripts count on a real Redis: tokens, money, models, fixed windows, arrivals, headers."""

import asyncio
import time

from tests.support.budgets import RPM, granted, key_of, refused, slots_of, worker

from optimizer_config.amounts import Amounts, Remaining
from optimizer_config.model import Limit, Reset
from optimizer_state.budget import Settled

TPM = Limit("tpm", "tokens", 1_000, 60.0)
RPD = Limit("rpd", "requests", 3, 86_400.0, reset=Reset())
DAY_MS = 86_400_000


async def used(store, limit):
    """What counts in a window, slot by slot."""
    return [*(await slots_of(store, limit)).values()]


async def test_tokens_are_counted_with_requests(store):
    """A call takes its estimate of a token limit; the wait names the limit that is used up."""
    budget = await worker(store, RPM, TPM)
    await granted(budget, "a", input_tokens=500, output_tokens=100)
    await granted(budget, "b", input_tokens=100, output_tokens=300)

    assert (await refused(budget, "c", output_tokens=1)).limit == "tpm"
    await granted(budget, "d")


async def test_all_limits_or_none(store):
    """A call that one limit refuses takes nothing of the others."""
    budget = await worker(store, RPM, TPM)
    await granted(budget, "a", input_tokens=1_000)
    for name in "bcde":
        await refused(budget, name, input_tokens=1)
    for name in "bcde":
        await granted(budget, name)

    assert (await refused(budget, "f")).limit == "rpm"


async def test_kinds_of_tokens_and_money(store):
    """Input tokens, output tokens and money are limits of their own."""
    limits = (
        Limit("itpm", "input_tokens", 100, 60.0),
        Limit("otpm", "output_tokens", 50, 60.0),
        Limit("usd_per_day", "usd", 1_000_000, 86_400.0, reset=Reset()),
    )
    budget = await worker(store, *limits)
    await granted(budget, "a", input_tokens=90, output_tokens=40, micro_usd=900_000)

    assert (await refused(budget, "b", input_tokens=20)).limit == "itpm"
    assert (await refused(budget, "c", output_tokens=20)).limit == "otpm"
    assert (await refused(budget, "d", micro_usd=100_001)).limit == "usd_per_day"


async def test_a_limit_of_a_group_of_models(store):
    """A limit of some models counts them together, and holds for no other."""
    budget = await worker(store, Limit("big", "requests", 2, 60.0, models=("m", "n")), RPM)
    await granted(budget, "a", "m")
    await granted(budget, "b", "n")

    assert (await refused(budget, "c", "m")).limit == "big"
    await granted(budget, "d", "other")


async def test_an_amount_larger_than_the_limit(store):
    """A call that takes more than a limit has waits for an empty window, not for ever."""
    budget = await worker(store, TPM)
    small = await granted(budget, "small", input_tokens=1)
    await refused(budget, "huge", input_tokens=5_000)
    await budget.settle(small, Settled(None))

    await granted(budget, "huge", input_tokens=5_000)


async def test_a_wait_tells_what_becomes_free(store):
    """A wait says when how much of the limit leaves its window, soonest first, and is that long."""
    budget = await worker(store, Limit("tpm", "tokens", 100, 6.0))
    for name, tokens in (("a", 20), ("b", 70)):
        await budget.settle(await granted(budget, name, input_tokens=tokens), Settled(0))
        await asyncio.sleep(0.3)
    wait = await refused(budget, "c", input_tokens=80)

    assert [amount for _, amount in wait.frees] == [20, 70]
    assert 0 < wait.frees[0][0] < wait.frees[1][0] == wait.ms <= 6_100


async def test_real_usage_replaces_the_estimate(store):
    """What a call really took is counted in place of its estimate: the rest is given back, too little is a debt."""
    budget = await worker(store, TPM)
    grants = [await granted(budget, name, input_tokens=400) for name in "ab"]
    await budget.settle(grants[0], Settled(1, used=Amounts(1, 100)))
    await granted(budget, "c", input_tokens=500)
    await budget.settle(grants[1], Settled(1, used=Amounts(1, 800, 300)))

    assert sorted(await used(store, "tpm")) in ([1_200], [100, 1_100])
    assert (await refused(budget, "d", input_tokens=1)).limit == "tpm"


async def test_a_written_call_leaves_the_window_while_it_runs(store):
    """Once its request is known to be written, a long call counts from its arrival and not as long as it lasts."""
    budget = await worker(store, Limit("rps", "requests", 1, 0.6), concurrency=2)
    long = await granted(budget, "long")
    budget.written(long)
    written = time.monotonic()
    await asyncio.sleep(0.35)
    await budget.remind()
    wait = await refused(budget, "next")
    await asyncio.sleep(wait.ms / 1000 + 0.005)
    await granted(budget, "next")

    assert 0.6 < time.monotonic() - written < 0.75
    assert (await refused(budget, "third")).limit == "concurrency"


async def test_arrivals_are_told_once(store):
    """A call's arrival told again, and its end after that, count it once."""
    budget = await worker(store, Limit("tps", "tokens", 100, 0.6))
    grant = await granted(budget, "a", input_tokens=60)
    budget.written(grant)
    await asyncio.sleep(0.35)
    await budget.remind()
    budget._flying._calls["a"].told = False
    await budget.remind()
    before = await used(store, "tps")
    await budget.settle(grant, Settled(350, used=Amounts(1, 50)))

    assert before == [60]
    assert await used(store, "tps") == [50]
    assert await store.command("EXISTS", key_of(store, "flying"), key_of(store, "reserved")) == 0


async def test_a_fixed_window_has_one_slot_a_period(store):
    """A fixed window counts a period's calls together, named by the period's start."""
    budget = await worker(store, RPD)
    for name in "ab":
        await budget.settle(await granted(budget, name), Settled(1))
    await granted(budget, "c")

    assert (await refused(budget, "d")).limit == "rpd"
    today = store.clock.now_ms() // DAY_MS * DAY_MS
    assert await store.command("HGETALL", key_of(store, "window:rpd")) == {str(today).encode(): b"2"}


async def test_a_used_up_period(store):
    """When a period is used up the wait ends with it, and what was used in an earlier one does not count."""
    budget = await worker(store, RPD)
    today = store.clock.now_ms() // DAY_MS * DAY_MS
    await store.command("HSET", key_of(store, "window:rpd"), today - DAY_MS, 3)
    for name in "abc":
        await budget.settle(await granted(budget, name), Settled(1))
    wait = await refused(budget, "d")

    assert abs(wait.ms - (today + DAY_MS - store.clock.now_ms())) < 1_000
    assert wait.frees == ((wait.ms, 3),)


async def test_a_call_at_the_turn_of_a_period(store):
    """A call reserved in one period that may arrive in the next counts in both."""
    budget = await worker(store, RPD)
    now = store.clock.now_ms()
    start, end = now - 50_000, now + 40
    budget._windows = (_Turning(budget._windows[0], start, end),)
    budget._alone._windows = budget._windows
    grant = await granted(budget, "a")
    await asyncio.sleep(0.06)
    await budget.settle(grant, Settled(20))

    counted = await store.command("HGETALL", key_of(store, "window:rpd"))
    assert counted == {str(start).encode(): b"1", str(end).encode(): b"1"}


class _Turning:
    """A fixed window whose period ends when the test says so."""

    def __init__(self, window, start, end):
        self._window, self._period = window, (start, end)

    def __getattr__(self, name):
        return getattr(self._window, name)

    def period(self, now_ms):
        return self._period


async def test_headers_lower_what_is_left(store):
    """Less left than is known here lowers the level: others use the budget too."""
    budget = await worker(store, RPM)
    grant = await granted(budget, "a")
    await budget.settle(grant, Settled(1, remaining=[Remaining("requests", 60.0, 1)]))

    await granted(budget, "b")
    await refused(budget, "c")


async def test_headers_never_raise_what_is_left(store):
    """More left than is known here changes nothing; nor do headers of another dimension, window or model."""
    budget = await worker(store, RPM, Limit("n:rph", "requests", 50, 3_600.0, models=("n",)))
    grants = [await granted(budget, name) for name in "abcd"]
    said = [
        Remaining("requests", 60.0, 100),
        Remaining("tokens", 60.0, 0),
        Remaining("requests", 3_600.0, 0),
        Remaining("requests", 1.0, 0),
    ]
    await budget.settle(grants[0], Settled(1, remaining=said))

    await granted(budget, "e", "n")
    await refused(budget, "f")


async def test_headers_from_before_others_were_reserved(store):
    """What a backend said before it saw the calls that were reserved meanwhile gives nothing of theirs back."""
    budget = await worker(store, RPM)
    grants = [await granted(budget, name) for name in "abcde"]
    await budget.settle(grants[0], Settled(1, remaining=[Remaining("requests", 60.0, 3)]))

    await refused(budget, "f")


async def test_headers_of_calls_that_ran_together(store):
    """What was reserved after a call is not taken off twice, whether its headers have seen it or not."""
    budget = await worker(store, RPM)
    grants = [await granted(budget, name) for name in "abc"]
    await budget.settle(grants[0], Settled(1, remaining=[Remaining("requests", 60.0, 4)]))
    await budget.settle(grants[1], Settled(1, remaining=[Remaining("requests", 60.0, 2)]))
    await budget.settle(grants[2], Settled(1, remaining=[Remaining("requests", 60.0, 2)]))

    await granted(budget, "d")
    await granted(budget, "e")
    await refused(budget, "f")


async def test_operators_change_counts_at_once(store):
    """A count that operators set holds for the very next reservation, larger or smaller; none left means none."""
    budget = await worker(store, RPM, concurrency=2)
    await store.command("HSET", key_of(store, "settings"), "limit:rpm", 1)
    await granted(budget, "a")
    assert (await refused(budget, "b")).limit == "rpm"
    await store.command("HSET", key_of(store, "settings"), "limit:rpm", 0)
    assert (await refused(budget, "b")).limit == "rpm"
    await store.command("HSET", key_of(store, "settings"), "limit:rpm", 9, "limit:concurrency", 3)
    await granted(budget, "b")
    await granted(budget, "c")

    assert (await refused(budget, "d")).limit == "concurrency"
