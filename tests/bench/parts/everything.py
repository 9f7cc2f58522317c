"""i: what recorder and budgets cost, by both clients; and whether the recorder has a row for every request.

Everything else is measured with them too: here the same is measured without them.
"""

import asyncio
import time
from contextlib import AsyncExitStack

from tests.bench.asking import BARE, OURS, Asking
from tests.bench.bench import Bench, in_turn
from tests.bench.deployment import deployment
from tests.bench.parts.cached import hits, learn
from tests.bench.parts.uncached import calls
from tests.bench.questions import known_prompts

IN_FLIGHT = 100
HISTORY = "i  history"
MISSING = "requests without a row"


def part(kind: str) -> str:
    """The title of the results."""
    return f"i  {kind}, {IN_FLIGHT} in flight, with and without recorder and budgets"


async def measure(bench: Bench) -> None:
    """Measure both deployments in turn, then count the rows of the history."""
    async with AsyncExitStack() as pool:
        where = await asyncio.to_thread(pool.enter_context, deployment(bench.servers, plain=True))
        plain = await pool.enter_async_context(Asking(where))
        prompts = known_prompts()
        for asking in (bench.asking, plain):
            await learn(asking.ours, prompts)
        asks = {**bench.asking.ways, **{_without(name): ask for name, ask in plain.ways.items()}}
        kinds = {
            "cached": {name: hits(ask, prompts) for name, ask in asks.items()},
            "uncached": {name: calls(ask) for name, ask in asks.items()},
        }
        for number in range(bench.length.rounds):
            bench.say(f"i  with and without recorder and budgets, round {number + 1}")
            for kind, ways in in_turn(kinds, number):
                for name, stretch in in_turn(ways, number):
                    ended = time.perf_counter() + bench.length.seconds
                    await bench.run(part(kind), name, stretch, IN_FLIGHT)
                    if name in bench.asking.ways:
                        behind_s = max(time.perf_counter() - ended, 0)
                        bench.results.add(part(kind), f"{name}, recorder done after", behind_s, "s")
    for kind in kinds:
        for name in (OURS, BARE):
            bench.results.rates(part(kind), name, _without(name))


def count_rows(bench: Bench) -> None:
    """Hold the rows of the history against the requests of the whole run."""
    missing = bench.where.missing()
    bench.results.add(HISTORY, "requests", bench.where.asked, "")
    bench.results.add(HISTORY, MISSING, missing, "")
    if missing:
        bench.results.remark(
            f"The recorder has LOST events: {missing:,} of {bench.where.asked:,} requests have no row."
        )


def _without(name: str) -> str:
    return f"{name}, without them"
