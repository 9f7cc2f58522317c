"""Shares: of calls that may be repetitions, of calls that may go to one backend, and of money.

Three routes of one deployment are used.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.support.fleet import clients
from tests.support.judge import Call
from tests.support.notes import ANSWERED, Notebook
from tests.support.stack import Simulated, Stack
from tests.support.tap import shared_stack
from tests.support.together import outcome, run_together

OFTEN = {"failures": 100_000, "within_s": 300.0, "open_s": 1.0}
WITHIN_S = 4.0


def repetitions(calls: list[Call]) -> list[tuple[float, bool]]:
    """The calls in order: when each began, and whether its question had been called before."""
    seen: Counter[str | None] = Counter()
    found = []
    for call in sorted(calls, key=lambda each: each.start):
        found.append((call.start, seen[call.question] > 0))
        seen[call.question] += 1
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory, amqp_url, redis_url) -> Iterator[dict[str, Any]]:
    """What became of the work on the three routes; and all calls of the deployment."""
    with shared_stack(tmp_path_factory.mktemp("shares"), amqp_url, redis_url) as stack:
        jitter = {"latency": {"kind": "jitter", "base_s": 0.02, "spread_s": 0.02}}
        (stack.folder / "prices.toml").write_text('[dear."*"]\ninput = 10\noutput = 20\n')
        stack.extra = f"""
prices_file = "{stack.folder / "prices.toml"}"
[waits]
retry_s = [0.2, 0.3, 0.4]
[retries]
within_s = {WITHIN_S}
"""
        money = {"money": {"count": 0.0263, "per_s": 60.0, "dimension": "usd"}, "concurrency": 4}
        failing = {"fail_rate": 0.5, "latency": {"base_s": 0.05}, "seed": 5}
        sims = {
            "failing": stack.simulate("failing", failing, concurrency=8, breaker=OFTEN),
            "micro": stack.simulate("micro", jitter, max_share=0.2),
            "large": stack.simulate("large", jitter, concurrency=16),
            "dear": stack.simulate("dear", {"answer_tokens": 40}, kind="paid", limits=money),
            "cheap": stack.simulate("cheap"),
        }
        stack.models = {"retried": ["failing"], "mixed": ["micro", "large"], "priced": ["dear", "cheap"]}
        stack.configure()
        names = ("failing", "failing", "micro", "micro", "large", "dear", "dear", "cheap")
        workers = [stack.worker(name) for name in names]
        stack.ready(stack.coordinator(), stack.coordinator(), *workers)
        ran = run_together(retried=retried(stack), priced=priced(stack, sims["dear"]))
        # A backend's share is one of all requests of the fleet: nobody else may ask meanwhile.
        ran |= run_together(mixed=mixed(stack, sims))
        yield ran | {"calls": [call for sim in sims.values() for call in sim.judged()]}


async def retried(stack: Stack) -> None:
    """Ask a backend that fails half of the calls."""
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for i in range(140):
            book.ask(client, f"retried {i}", 30.0, model="retried")
            await asyncio.sleep(0.05)
        await book.drop()


@pytest.mark.slow
def test_retries_are_a_fifth_of_calls(shared):
    """With a backend that fails half of the calls, and its breaker out of the way, no call is repeated that makes
    repetitions more than a fifth of the fleet's calls of the window up to then (three are always allowed)."""
    outcome(shared, "retried")
    order = repetitions(shared["calls"])
    own = repetitions([call for call in shared["calls"] if call.backend == "failing"])
    over = 0.0
    # Whenever a call is repeated: that fewer calls come afterwards, nobody could know.
    for at in (began for began, again in order if again):
        inside = [again for began, again in order if at - WITHIN_S < began <= at]
        over = max(over, sum(inside) - max(3, len(inside) / 5))

    print(f"{sum(again for _, again in own)} repetitions in {len(own)} calls, {over:.1f} too many in the worst window")
    assert sum(again for _, again in own) >= 10
    # Of the calls that had been counted one may have been overtaken on its way to the backend.
    assert over <= 1
    # What waits to be repeated keeps nobody else from being called.
    assert sum(not again for _, again in own) >= 115


async def mixed(stack: Stack, sims: dict[str, Simulated]) -> tuple[list[bool], int]:
    """Ask a route whose first backend may get a fifth of the calls; which of the calls it got, and the answers."""
    book = Notebook()
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 2)
        for i in range(400):
            book.ask(fleet[i % 2], f"mixed {i}", 30.0, model="mixed")
            await asyncio.sleep(random.random() * 0.015)
        await asyncio.wait_for(book.all(), 40)
    calls = sorted(sims["micro"].judged() + sims["large"].judged(), key=lambda call: call.start)
    return [call.backend == "micro" for call in calls], book.count(ANSWERED)


@pytest.mark.slow
def test_share_of_a_backend_is_never_exceeded(shared):
    """A backend that may get a fifth of the calls gets at most 20 of any 100 that follow each other, and not
    much less."""
    micros, answered = outcome(shared, "mixed")
    worst = max(sum(micros[i : i + 100]) for i in range(len(micros) - 99))

    print(f"{sum(micros)} of {len(micros)} calls, {worst} in the worst hundred")
    assert answered == 400
    assert worst <= 20
    # Nobody knows the first hundred, and the order of arrival is not quite that of the starts: a tenth is left free.
    assert sum(micros[120:]) >= 0.7 * 0.2 * len(micros[120:])


async def priced(stack: Stack, dear: Simulated) -> tuple[list[Call], int]:
    """Ask a route whose first backend has a budget of money; its calls, and the answers of all."""
    # 25 tokens in, 40 out: 0.00105 dollars a call, of 0.0263 allowed.
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for i in range(60):
            book.ask(client, f"question {i:03} " + "x" * 87, 30.0, model="priced", max_tokens=200)
            await asyncio.sleep(0.02)
        await asyncio.wait_for(book.all(), 40)
    return dear.judged(), book.count(ANSWERED)


@pytest.mark.slow
def test_money_of_a_backend_is_never_exceeded(shared):
    """A budget of money holds by what the calls really cost, and is used; beyond it the next backend answers."""
    calls, answered = outcome(shared, "priced")
    spent = sum(call.input_tokens * 10 + call.output_tokens * 20 for call in calls) / 1e6

    print(f"{spent:.5f} dollars by {len(calls)} calls")
    assert answered == 60
    assert spent <= 0.0263
    assert spent >= 0.85 * 0.0263
