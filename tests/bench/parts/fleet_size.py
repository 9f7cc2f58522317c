"""f: two coordinators beside one, and four workers beside one."""

import asyncio
from contextlib import AsyncExitStack

from tests.bench.asking import Asking
from tests.bench.bench import Bench, in_turn
from tests.bench.deployment import deployment
from tests.bench.parts.cached import hits, learn
from tests.bench.parts.uncached import calls
from tests.bench.questions import known_prompts

IN_FLIGHT = 100
CACHED, UNCACHED = "f  cached, 100 in flight, our client", "f  uncached, 100 in flight, our client"
ONE, TWO, FOUR = "one of each", "two coordinators", "four workers"


async def measure(bench: Bench) -> None:
    """Measure deployments of these sizes, which all run at the same time, in turn."""
    bench.say("f  starting two more deployments")
    async with AsyncExitStack() as pool:
        asking, others = {ONE: bench.asking}, []
        for name, size in ((TWO, {"coordinators": 2}), (FOUR, {"workers": 4})):
            others.append(await asyncio.to_thread(pool.enter_context, deployment(bench.servers, **size)))
            asking[name] = await pool.enter_async_context(Asking(others[-1]))
        prompts = known_prompts()
        for ways in asking.values():
            await learn(ways.ours, prompts)
        cached = {name: hits(asking[name].ours, prompts) for name in (ONE, TWO)}
        uncached = {name: calls(ways.ours) for name, ways in asking.items()}
        for number in range(bench.length.rounds):
            bench.say(f"f  one and more processes, round {number + 1}")
            for part, ways in ((CACHED, cached), (UNCACHED, uncached)):
                for name, stretch in in_turn(ways, number):
                    await bench.run(part, name, stretch, IN_FLIGHT, *others)
    bench.results.rates(CACHED, TWO, ONE)
    bench.results.rates(UNCACHED, TWO, ONE)
    bench.results.rates(UNCACHED, FOUR, ONE)
