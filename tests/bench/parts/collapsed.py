"""d: the time of 1,000 identical requests at once beside that of one."""

import asyncio
import time

from tests.bench.bench import Bench, in_turn
from tests.bench.questions import new_prompt

IDENTICAL = 1_000
FACTOR, SLACK_S = 1.3, 0.3
PART = f"d  {IDENTICAL:,} identical at once, backend of 200 ms"


async def measure(bench: Bench) -> None:
    """Measure one and all by each client, and hold that there was one call."""
    with bench.where.worker("far"):
        await bench.asking.ours(new_prompt(), "far")
        for number in range(bench.length.rounds):
            bench.say(f"d  identical requests, round {number + 1}")
            for name, ask in in_turn(bench.asking.ways, number):
                one_s, _ = await _timed(ask, 1)
                all_s, sources = await _timed(ask, IDENTICAL)
                assert sources.count("backend") == 1, sources.count("backend")
                bench.results.add(PART, f"{name}, one", one_s * 1000, "ms")
                bench.results.add(PART, f"{name}, all", all_s * 1000, "ms")
                limit_s = FACTOR * one_s + SLACK_S
                bench.results.add(PART, f"{name}, all ÷ ({FACTOR} × one + {SLACK_S} s)", all_s / limit_s, "×")


async def _timed(ask, times: int) -> tuple[float, list[str]]:
    prompt = new_prompt()
    began = time.perf_counter()
    sources = await asyncio.gather(*(ask(prompt, "far") for _ in range(times)))
    return time.perf_counter() - began, sources
