"""c: what the optimizer adds to the latency of a backend of 50 ms, at fixed rates of arrival (open loop)."""

import asyncio

from tests.bench.asking import DIRECT, AskOnce
from tests.bench.bench import Bench, in_turn
from tests.bench.open_loop import arrivals, open_loop
from tests.bench.questions import new_prompt
from tests.bench.report import P50, P95, P99

RATES = (50, 300, 600)
STRETCHES = 2
"""An open loop is measured for so many times the usual length: at 50 per second there are few requests."""


def part(rate: int) -> str:
    """The title of the results."""
    return f"c  {rate} per second (Poisson), backend of 50 ms"


async def measure(bench: Bench) -> None:
    """Measure our latencies and those of direct calls that arrive at the same moments."""
    ways: dict[str, AskOnce] = {DIRECT: bench.direct.ask, **bench.asking.ways}
    with bench.where.worker("near"):
        await asyncio.gather(*(ask(new_prompt(), "near") for ask in ways.values() for _ in range(50)))
        for number in range(bench.length.rounds):
            for rate in RATES:
                bench.say(f"c  added latency at {rate} per second, round {number + 1}")
                moments = arrivals(rate, STRETCHES * bench.length.seconds, seed=number)
                for name, ask in in_turn(ways, number):
                    found = await open_loop(lambda _, ask=ask: ask(new_prompt(), "near"), moments)
                    bench.results.add_sample(part(rate), name, found)
                    await bench.where.caught_up()
                    if found.failed:
                        bench.results.remark(f"{part(rate)}: {found.failed} requests by {name} failed.")
    for rate in RATES:
        _subtract(bench, part(rate))


def _subtract(bench: Bench, title: str) -> None:
    values = bench.results.rounds[title]
    for name in bench.asking.ways:
        for share in (P50, P95, P99):
            for ours, direct in zip(values[f"{name}, {share}"], values[f"{DIRECT}, {share}"], strict=True):
                bench.results.add(title, f"added by {name}, {share}", ours - direct, "ms")
