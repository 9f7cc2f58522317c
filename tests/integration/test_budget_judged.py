"""Many workers on one Redis, judged by when their calls reach the backend: no window of any limit is ever exceeded."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest
from tests.support.budgets import backend, key_of
from tests.support.judge import max_concurrency, max_in_window, max_weight_in_window

from optimizer_config.amounts import Amounts
from optimizer_config.model import Limit
from optimizer_state.budget import Ask, Budget, Grant, Settled
from optimizer_state.store import Store

RUN_S = 3.0
LIMITS = (
    Limit("a", "requests", 6, 0.3),
    Limit("b", "requests", 12, 1.2),
    Limit("tokens", "tokens", 400, 0.8),
    Limit("n", "requests", 3, 0.9, models=("n",)),
)
CONCURRENCY = 5


@dataclass
class Ledger:
    """What reached the backend: when, of which model, how many tokens; and from when to when it ran."""

    arrivals: list[tuple[float, str, int]] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)

    def check(self):
        for limit in LIMITS:
            counted = [(at, n) for at, model, n in self.arrivals if not limit.models or model in limit.models]
            if limit.dimension == "requests":
                counted = [(at, 1) for at, _ in counted]
            worst, start = max_weight_in_window(counted, limit.per_s)
            assert worst <= limit.count, (limit.name, worst, start)
        starts, ends = zip(*self.spans, strict=True)
        assert max_concurrency(starts, ends)[0] <= CONCURRENCY


class Agent:
    """A worker that calls as often as it may, with calls of any length, some of which it never sends or dies in."""

    def __init__(self, budget, rng, ledger):
        self._budget, self._rng, self._ledger = budget, rng, ledger

    async def run(self, until):
        number = 0
        while time.monotonic() < until:
            number += 1
            model, tokens = self._rng.choice("mmn"), self._rng.randint(1, 120)
            estimate = max(1, round(tokens * self._rng.uniform(1, 1.5)))
            ask = Ask(f"{id(self)}-{number}", model, Amounts(1, estimate))
            verdict = await self._budget.reserve(ask)
            if isinstance(verdict, Grant):
                await self._call(verdict, model, tokens)
            else:
                await asyncio.sleep(min(verdict.ms / 1000, 0.05) * self._rng.uniform(0.5, 1))

    async def _call(self, grant, model, tokens):
        began = time.monotonic()
        await asyncio.sleep(self._rng.choice([0, 0, 0.05]) * self._rng.random())
        if self._rng.random() < 0.1:
            await self._budget.settle(grant, Settled(None))
            return
        written = time.monotonic()
        if self._rng.random() < 0.8:
            self._budget.written(grant)
        await asyncio.sleep(self._rng.choice([0, 0.01, 0.2, 0.6]) * self._rng.random())
        ended = time.monotonic()
        self._ledger.arrivals.append((min(written + self._rng.random() * 0.05, ended), model, tokens))
        self._ledger.spans.append((began, ended))
        await self._budget.settle(grant, Settled((ended - written) * 1000, Amounts(1, tokens), "well"))


async def remind_for_ever(budget):
    while True:
        await budget.remind()
        await asyncio.sleep(budget.remind_s)


async def fleet(url, prefix, seed, workers=4, agents=3, faults=None):
    """Run a fleet; returns what reached the backend."""
    ledger, rng, stores, reminders, runs = Ledger(), random.Random(seed), [], [], []
    for number in range(workers):
        store = Store(url, prefix)
        await store.synchronise_clock()
        budget = Budget(store, backend(*LIMITS, concurrency=CONCURRENCY), f"w{number}")
        await budget.restore()
        budget.workers_seen = workers
        stores.append(store)
        reminders.append(asyncio.ensure_future(remind_for_ever(budget)))
        until = time.monotonic() + RUN_S + 0.6
        runs += [Agent(budget, random.Random(rng.random()), ledger).run(until) for _ in range(agents)]
    if faults is not None:
        runs.append(faults(stores[0]))
    await asyncio.gather(*runs)
    for reminder in reminders:
        reminder.cancel()
    await asyncio.gather(*reminders, return_exceptions=True)
    for store in stores:
        await store.close()
    return ledger


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_no_window_is_exceeded(redis_url, prefix, seed):
    """However calls end, whenever within their bounds they arrive, all limits and the concurrency hold."""
    ledger = await fleet(redis_url, prefix, seed)

    ledger.check()
    assert len(ledger.arrivals) > 15


async def test_no_window_is_exceeded_when_redis_forgets(private_redis, prefix):
    """When Redis loses its memory in mid-run no window of a limit is exceeded: live workers tell what they used."""

    async def forget(store):
        for _ in range(3):
            await asyncio.sleep(0.9)
            await store.command("FLUSHALL")

    ledger = await fleet(private_redis.url, prefix, 4, faults=forget)

    ledger.check()
    assert len(ledger.arrivals) > 8


async def test_a_minute_is_used_to_the_full(redis_url, prefix):
    """Calls that last longer than a window use it as short ones do."""
    limit = Limit("rps", "requests", 10, 1.0)
    store = Store(redis_url, prefix)
    await store.synchronise_clock()
    budget = Budget(store, backend(limit, concurrency=100), "w1")
    await budget.restore()
    await store.command("HDEL", key_of(store, "gate"), "grace")
    reminder = asyncio.ensure_future(remind_for_ever(budget))
    arrivals, number, until = [], 0, time.monotonic() + 4.3
    while time.monotonic() < until:
        verdict = await budget.reserve(Ask(str(number)))
        number += 1
        if isinstance(verdict, Grant):
            budget.written(verdict)
            arrivals.append(time.monotonic())
        else:
            await asyncio.sleep(verdict.ms / 1000)
    reminder.cancel()
    await store.close()

    assert max_in_window(arrivals, 1.0)[0] <= 10
    first = arrivals[0]
    assert sum(at < first + 4.3 for at in arrivals) >= 40


async def test_a_worker_that_dies(redis_url, prefix, monkeypatch):
    """Calls of a dead worker count until their leases run out and a window longer, then their places are free."""
    monkeypatch.setattr("optimizer_state.budget.LEASE_MS", 300)
    limit = Limit("rps", "requests", 3, 0.5)
    store = Store(redis_url, prefix)
    await store.synchronise_clock()
    dead, alive = (Budget(store, backend(limit, concurrency=3), name) for name in ("dead", "alive"))
    for budget in (dead, alive):
        await budget.restore()
    await store.command("HDEL", key_of(store, "gate"), "grace")
    died = time.monotonic()
    for name in "abc":
        assert isinstance(await dead.reserve(Ask(name)), Grant)
    limits = set()
    while not isinstance(verdict := await alive.reserve(Ask("next")), Grant):
        limits.add(verdict.limit)
        await asyncio.sleep(0.01)
    waited = time.monotonic() - died
    await store.close()

    assert limits == {"concurrency", "rps"}
    assert 0.8 <= waited < 1.0
