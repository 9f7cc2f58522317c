"""g: prompts of 1, 10 and 100 KB, beside echoes of as many bytes."""

from tests.bench.bench import Bench, in_turn
from tests.bench.parts.cached import AIO_PIKA, echoes, hits, learn
from tests.bench.parts.uncached import calls
from tests.bench.questions import known_prompts
from tests.bench.usage import Usage

IN_FLIGHT = 100
SIZES_KB = (1, 10, 100)
CACHED, UNCACHED = "our client, cached", "our client, uncached"


def part(size_kb: int) -> str:
    """The title of the results."""
    return f"g  prompts of {size_kb} KB, {IN_FLIGHT} in flight"


async def measure(bench: Bench) -> None:
    """Measure all sizes."""
    ask = bench.asking.ours
    prompts = {size_kb: known_prompts(size_kb * 1000) for size_kb in SIZES_KB}
    for known in prompts.values():
        await learn(ask, known)
    for number in range(bench.length.rounds):
        bench.say(f"g  sizes of prompts, round {number + 1}")
        for size_kb in SIZES_KB:
            chars = size_kb * 1000
            ways = {AIO_PIKA: echoes(bench, chars), CACHED: hits(ask, prompts[size_kb]), UNCACHED: calls(ask, chars)}
            for name, stretch in in_turn(ways, number):
                await bench.run(part(size_kb), name, stretch, IN_FLIGHT)
    for size_kb in SIZES_KB:
        for name in (CACHED, UNCACHED):
            bench.results.rates(part(size_kb), name, AIO_PIKA)
    for role, rss_mb in Usage(bench.where.pids()).rss_mb().items():
        bench.results.add(part(SIZES_KB[-1]), f"{role}, memory after work", rss_mb, "MB")
