"""Budgets that hold and are used, on real processes; the judge is each simulator's request log.

Long windows are tested as short ones: a minute of 12 seconds, a day of 20 seconds.
"""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
import redis
from tests.support.fleet import clients
from tests.support.judge import Call, Limit, measured, used_share
from tests.support.notes import Notebook
from tests.support.servers import PrivateRedis
from tests.support.services import missing
from tests.support.stack import Running, Simulated, Stack, wait_until
from tests.support.tap import shared_stack
from tests.support.together import outcome, run_together

HOUR_S = 3600.0
FOR_EVER_S = 600.0


def most(calls: list[Call], count: int, per_s: float, what: str = "requests") -> int:
    """The most that any window held."""
    return measured(calls, Limit(what, what, count, per_s))[0]


def share_of(calls: list[Call], count: int, per_s: float, what: str = "") -> float:
    """How much of a window was used while there was work."""
    return used_share([(call.start, getattr(call, what) if what else 1) for call in calls], count, per_s)


def refusals(calls: list[Call]) -> int:
    """How often the backend answered 429."""
    return sum(call.status == 429 for call in calls)


# ── how much of a budget is used ─────────────────────────────────────────────────────────────────────────────────

MINUTE = {"count": 40, "per_s": 12.0}
SECOND = {"count": 10, "per_s": 1.0}
TOKENS = {"count": 2000, "per_s": 5.0}
OUTPUT = {"count": 1000, "per_s": 5.0}
PRESSURE_S = 15.0


@pytest.fixture(scope="module")
def pressed(tmp_path_factory, amqp_url, redis_url) -> Iterator[dict[str, list[Call]]]:
    """Five backends with two workers each, and more work than any of them may do; yields their calls."""
    with shared_stack(tmp_path_factory.mktemp("pressed"), amqp_url, redis_url) as stack:
        yield asyncio.run(pressure_on_all(stack))


async def pressure_on_all(stack: Stack) -> dict[str, list[Call]]:
    """Press on every backend for a while."""
    wide = {"concurrency": 64}
    more = {
        "minute": ([MINUTE], {"base_s": 0.3}, 32),
        "second": ([SECOND], {"kind": "jitter", "base_s": 1.0, "spread_s": 1.0}, 32),
        "tokens": ([TOKENS | {"of": "tokens"}], {"base_s": 0.2}, 40),
        "output": ([OUTPUT | {"of": "output"}], {"base_s": 0.2}, 50),
    }
    dimension = {"tokens": {"dimension": "tokens"}, "output": {"dimension": "output_tokens"}}
    sims = {}
    for name, (limits, latency, answer) in more.items():
        window = {key: value for key, value in limits[0].items() if key != "of"} | dimension.get(name, {})
        spec = {"limits": {"more": limits}, "latency": latency, "answer_tokens": answer}
        sims[name] = stack.simulate(name, spec, limits={"narrow": window, **wide})
    sims["shared"] = stack.simulate(
        "shared",
        {"headers": "mistral", "limits": {"rpm": 20}, "latency": {"base_s": 0.1}},
        limits={"rpm": 20, "concurrency": 2},
        ratelimit_headers="mistral",
    )
    await asyncio.to_thread(stack.start, workers=2)
    await ask_past_us(sims["shared"])
    book, dice = Notebook(), random.Random(3)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for name, wanted in {"minute": 90, "second": 300, "tokens": 130, "output": 130, "shared": 20}.items():
            for i in range(wanted):
                # About 60 tokens of prompt, a few more or less; the maximum is ten times what is used.
                prompt = f"{name} {i} " + "x" * dice.randrange(180, 280)
                book.ask(client, prompt, FOR_EVER_S, model=name, max_tokens=400)
        await asyncio.sleep(PRESSURE_S)
        calls = {name: sim.judged() for name, sim in sims.items()}
        await book.drop()
    assert book.count("wrong") == 0
    return calls


async def ask_past_us(sim: Simulated) -> None:
    """Somebody else with the same key."""
    async with openai.AsyncOpenAI(base_url=f"{sim.url}/v1", api_key="k", max_retries=0) as other:
        for i in range(10):
            await other.chat.completions.create(model="m", messages=[{"role": "user", "content": f"other {i}"}])


@pytest.mark.parametrize(
    ("backend", "window", "what", "least"),
    [
        ("minute", MINUTE, "", 0.95),
        ("second", SECOND, "", 0.90),
        ("tokens", TOKENS, "tokens", 0.85),
        ("output", OUTPUT, "output_tokens", 0.85),
    ],
)
def test_budget_is_used(pressed, record_property, backend, window, what, least):
    """With work waiting, 95 % of a minute's requests are used, 90 % of a second's (by calls that last longer than it),
    85 % of tokens."""
    share = share_of(pressed[backend], window["count"], window["per_s"], what)
    record_property("used", share)
    print(f"{backend}: {share:.1%} used, {len(pressed[backend])} calls")

    assert share >= least


@pytest.mark.parametrize(
    ("backend", "window", "what"),
    [
        ("minute", MINUTE, "requests"),
        ("second", SECOND, "requests"),
        ("tokens", TOKENS, "tokens"),
        ("output", OUTPUT, "output_tokens"),
    ],
)
def test_budget_holds(pressed, backend, window, what):
    """No window holds more than its limit, and the backend, which counts the same, never answers 429."""
    seen = most(pressed[backend], window["count"], window["per_s"], what)
    print(f"{backend}: {seen} of {window['count']}")

    assert seen <= window["count"]
    assert refusals(pressed[backend]) == 0


# ── what others use, and windows by the clock ────────────────────────────────────────────────────────────────────


def test_headers_lower_the_budget(pressed):
    """Somebody else uses half of a key's minute: the backend's headers tell, and hardly a call is refused for it."""
    calls = pressed["shared"]

    # Ten of somebody else, ten of ours.
    assert sum(call.status == 200 for call in calls) == 20
    assert refusals(calls) <= 2


@pytest.mark.slow
async def test_day_begins_anew_by_the_clock(stack: Stack):
    """A limit of a day with a reset at a wall-clock time gives all of it at once after that time, no sooner."""
    reset = (int(time.time() + 15) // 60 + 1) * 60
    written = time.strftime("%H:%M UTC", time.gmtime(reset))
    sim = stack.simulate("alpha", limits=[{"rpd": 5, "reset": written}], concurrency=8)
    await asyncio.to_thread(stack.start, workers=2)
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for i in range(12):
            book.ask(client, f"question {i}", 400.0)
        await asyncio.sleep(reset + 4.0 - time.time())
        await book.drop()
    at = [call["at"] - reset for call in sim.calls()]

    print([round(each, 2) for each in at])
    assert [each < 0 for each in at] == [True] * 5 + [False] * 5
    assert max(at) < 2.0


# ── through kills, forgetting and wrong clocks ───────────────────────────────────────────────────────────────────

LIMITS = {
    "bursts": {"count": 10, "per_s": 1.0},
    "short": {"count": 20, "per_s": 3.0},
    "day": {"count": 100, "per_s": 20.0},
}
CONCURRENCY = 12


@dataclass
class Mischief:
    """Kills workers of a backend by chance, and starts others in their place."""

    stack: Stack
    backend: str
    dice: random.Random
    workers: list[Running] = field(default_factory=list)
    kills: int = 0

    def start(self, count: int) -> None:
        """So many workers, the last with a clock an hour ahead if there are several."""
        for i in range(count):
            self.add(skewed=0 < i == count - 1)
        self.stack.ready(*self.workers)

    def add(self, *, skewed: bool = False) -> None:
        """One more."""
        start = self.stack.skewed_worker(self.backend, HOUR_S) if skewed else self.stack.worker(self.backend)
        self.workers.append(start)

    def kill_one(self) -> None:
        """kill -9 to one of them; another takes its place, perhaps with a wrong clock."""
        victim = self.dice.choice(self.workers)
        self.workers.remove(victim)
        victim.kill()
        self.kills += 1
        self.add(skewed=self.dice.random() < 0.3)


def broken(calls: list[Call]) -> dict[str, str]:
    """The limits of `LIMITS` that do not hold."""
    seen = {name: (most(calls, **limit), limit["count"]) for name, limit in LIMITS.items()}
    seen["concurrency"] = (measured(calls, Limit("", "concurrency", CONCURRENCY))[0], CONCURRENCY)
    print({name: f"{count} of {limit}" for name, (count, limit) in seen.items()})
    return {name: f"{count} of {limit}" for name, (count, limit) in seen.items() if count > limit}


def slow_and_jittery(stack: Stack) -> Simulated:
    """A backend whose calls may last longer than its shortest window."""
    latency = {"kind": "lognormal", "base_s": 0.4, "sigma": 1.0}
    return stack.simulate("alpha", {"latency": latency}, limits={**LIMITS, "concurrency": CONCURRENCY})


async def in_trouble(stack: Stack, private_redis, workers: int, for_s: float, seed: int) -> list[Call]:
    """Pressure while Redis forgets everything once and workers are killed; returns the calls."""
    print(f"seed {seed}")
    stack.redis_url = private_redis.url
    sim, dice = slow_and_jittery(stack), random.Random(seed)
    stack.configure()
    mischief, book = Mischief(stack, "alpha", dice), Notebook()
    await asyncio.to_thread(mischief.start, workers)
    coordinator = stack.coordinator()
    await asyncio.to_thread(stack.ready, coordinator)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 3)
        end = time.monotonic() + for_s
        for i in range(int(for_s * 7) + 60):
            book.ask(fleet[i % 3], f"{seed} {i}", FOR_EVER_S)
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) >= 15, "calls")
        await asyncio.sleep(0.5 + dice.random())
        with redis.Redis.from_url(private_redis.url) as client:
            client.flushall()
        while time.monotonic() < end:
            # A worker needs a second or two to start: of few, fewer are killed.
            await asyncio.sleep((0.5 + 2.0 * dice.random()) * 5 / workers)
            await asyncio.to_thread(mischief.kill_one)
        calls = sim.judged()
        await book.drop()
    print(f"{mischief.kills} kills, {len(calls)} calls, {share_of(calls, 100, 20.0):.1%} of the day used")
    assert book.count("wrong") == 0
    return calls


@pytest.fixture(scope="module")
def hurt(tmp_path_factory, amqp_url) -> Iterator[dict[str, Any]]:
    """Two deployments, each with a Redis of its own, at the same time: one in trouble, one that loses Redis."""
    if not PrivateRedis.installed():
        missing("redis-server", "PATH")
    with (
        PrivateRedis() as forgetful,
        PrivateRedis() as away,
        shared_stack(tmp_path_factory.mktemp("trouble"), amqp_url, forgetful.url) as troubled,
        shared_stack(tmp_path_factory.mktemp("away"), amqp_url, away.url) as alone,
    ):
        yield run_together(
            trouble=in_trouble(troubled, forgetful, 5, 12.0, random.randrange(1_000_000)),
            outage=without_redis(alone, away, 2, 6.0),
        )


@pytest.mark.slow
def test_windows_hold_in_trouble(hurt):
    """Five workers, one with a clock an hour ahead, slow calls, a FLUSHALL, then kill -9 again and again: no window of
    any request limit is exceeded, nor the concurrency."""
    calls = outcome(hurt, "trouble")

    assert broken(calls) == {}
    assert len(calls) >= 50


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("run", range(3))
async def test_windows_hold_in_long_trouble(stack: Stack, private_redis, workers, run):
    """The same for a minute and a half, with 1, 2 and 5 workers."""
    calls = await in_trouble(stack, private_redis, workers, 90.0, random.randrange(1_000_000))

    assert broken(calls) == {}
    assert len(calls) >= 250


# ── without Redis ────────────────────────────────────────────────────────────────────────────────────────────────


async def without_redis(stack: Stack, private_redis, workers: int, away_s: float) -> tuple[list[Call], int]:
    """Pressure before, while and after Redis is away; returns the calls, and how many were made meanwhile."""
    stack.redis_url = private_redis.url
    sim = slow_and_jittery(stack)
    await asyncio.to_thread(stack.start, workers=workers)
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for i in range(int((away_s + 12) * 7) + 60):
            book.ask(client, f"{i}", FOR_EVER_S)
        await asyncio.sleep(3.5)
        await asyncio.to_thread(private_redis.kill)
        gone = time.monotonic()
        await asyncio.sleep(away_s)
        back = time.monotonic()
        await asyncio.to_thread(private_redis.start)
        await asyncio.sleep(5)
        calls = sim.judged()
        await book.drop()
    meanwhile = sum(gone + 1 < call.start < back for call in calls)
    print(f"{meanwhile} calls in {away_s - 1:g} s without Redis, {len(calls)} in all")
    return calls, meanwhile


@pytest.mark.slow
def test_windows_hold_without_redis(hurt):
    """Redis killed for six seconds: workers go on by their shares of 0.8 of each limit, and no window is exceeded,
    neither meanwhile nor when it is back."""
    calls, meanwhile = outcome(hurt, "outage")

    assert broken(calls) == {}
    assert meanwhile >= 0.5 * 0.8 * 20 / 3 * 5


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 5])
async def test_windows_hold_long_without_redis(stack: Stack, private_redis, workers):
    """The same for twenty seconds, with 1, 2 and 5 workers."""
    calls, meanwhile = await without_redis(stack, private_redis, workers, 20.0)

    assert broken(calls) == {}
    assert meanwhile >= 0.5 * 0.8 * 5 * 19
