"""Shares: of calls that may be repetitions, of calls that may go to one backend, and of money."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

from tests.support.fleet import clients
from tests.support.judge import Call
from tests.support.notes import ANSWERED, Notebook
from tests.support.stack import Stack

WITHIN_S = 4.0
OFTEN = {"failures": 100_000, "within_s": 300.0, "open_s": 1.0}


def repetitions(calls: list[Call]) -> list[tuple[float, bool]]:
    """The calls in order: when each began, and whether its question had been called before."""
    seen: Counter[str | None] = Counter()
    found = []
    for call in sorted(calls, key=lambda each: each.start):
        found.append((call.start, seen[call.question] > 0))
        seen[call.question] += 1
    return found


async def test_retries_are_a_fifth_of_calls(stack: Stack):
    """With a backend that fails half of the calls, and its breaker out of the way, repetitions are never more than a
    fifth of the calls of any four seconds, as configured (but for three that are always allowed)."""
    sim = stack.simulate(
        "alpha", {"fail_rate": 0.5, "latency": {"base_s": 0.05}, "seed": 5}, concurrency=8, breaker=OFTEN
    )
    stack.extra = f"[waits]\nretry_s = [0.2, 0.3, 0.4]\n[retries]\nwithin_s = {WITHIN_S}\n"
    await asyncio.to_thread(stack.start, workers=2)
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for i in range(140):
            book.ask(client, f"question {i}", 30.0)
            await asyncio.sleep(0.05)
        calls = sim.judged()
        await book.drop()
    order = repetitions(calls)
    worst = 0.0
    for at, _ in order:
        inside = [again for began, again in order if at - WITHIN_S < began <= at]
        if sum(inside) > 3:
            worst = max(worst, sum(inside) / len(inside))

    print(f"{sum(again for _, again in order)} repetitions in {len(calls)} calls, {worst:.1%} in the worst window")
    assert sum(again for _, again in order) >= 10
    assert worst <= 0.2
    # What waits to be repeated keeps nobody else from being called.
    assert sum(not again for _, again in order) >= 120


async def test_share_of_a_backend_is_never_exceeded(stack: Stack):
    """A backend that may get a fifth of the calls gets at most 20 of any 100 that follow each other, and not
    much less."""
    micro = stack.simulate("micro", {"latency": {"kind": "jitter", "base_s": 0.02, "spread_s": 0.02}}, max_share=0.2)
    large = stack.simulate("large", {"latency": {"kind": "jitter", "base_s": 0.02, "spread_s": 0.02}}, concurrency=16)
    await asyncio.to_thread(stack.start, coordinators=2, workers=2)
    book = Notebook()
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 2)
        for i in range(300):
            book.ask(fleet[i % 2], f"question {i}", 30.0)
            await asyncio.sleep(random.random() * 0.02)
        await asyncio.wait_for(book.all(), 40)
    book.save(stack.folder / "notes.jsonl")
    calls = sorted(micro.judged() + large.judged(), key=lambda call: call.start)
    micros = [call.backend == "micro" for call in calls]
    worst = max(sum(micros[i : i + 100]) for i in range(len(micros) - 99))

    print(f"{sum(micros)} of {len(micros)} calls, {worst} in the worst hundred")
    assert book.count(ANSWERED) == 300
    assert worst <= 20
    # Nobody knows the first hundred, and the order of arrival is not quite that of the starts: a tenth is left free.
    assert sum(micros[120:]) >= 0.7 * 0.2 * len(micros[120:])


async def test_money_of_a_backend_is_never_exceeded(stack: Stack):
    """A budget of money holds by what the calls really cost, and is used; beyond it the next backend answers."""
    # 25 tokens in, 40 out: 0.00105 dollars a call, of 0.0263 allowed.
    (stack.folder / "prices.toml").write_text('[dear."*"]\ninput = 10\noutput = 20\n')
    stack.extra = f'prices_file = "{stack.folder / "prices.toml"}"\n'
    money = {"count": 0.0263, "per_s": 60.0, "dimension": "usd"}
    dear = stack.simulate("dear", {"answer_tokens": 40}, kind="paid", limits={"money": money, "concurrency": 4})
    stack.simulate("cheap")
    await asyncio.to_thread(stack.start, workers=2)
    book = Notebook()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for i in range(60):
            book.ask(client, f"question {i:03} " + "x" * 87, 30.0, max_tokens=200)
            await asyncio.sleep(0.02)
        await asyncio.wait_for(book.all(), 40)
    calls = dear.judged()
    spent = sum(call.input_tokens * 10 + call.output_tokens * 20 for call in calls) / 1e6

    print(f"{spent:.5f} dollars by {len(calls)} calls")
    assert book.count(ANSWERED) == 60
    assert spent <= 0.0263
    assert spent >= 0.85 * 0.0263
