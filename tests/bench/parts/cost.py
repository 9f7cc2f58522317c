"""e: CPU and memory of each process: per 1,000 requests, over few and many requests, and with 5,000 in flight."""

from collections import Counter

from tests.bench.bench import Bench, in_turn
from tests.bench.loops import counted_loop
from tests.bench.parts.cached import learn
from tests.bench.questions import QUESTIONS, known_prompts, new_prompt

IN_FLIGHT = 100
FEW, MANY, VERY_MANY = 1_000, 10_000, 100_000
CROWD, PASSES = 5_000, 3
CROWDED = f"e  {CROWD:,} in flight, uncached, backend without latency"


FAILED = "failed requests"


def part(kind: str) -> str:
    """The title of the costs of a kind of request."""
    return f"e  CPU per 1,000 {kind} requests, our client, {IN_FLIGHT} in flight"


def growth(role: str) -> str:
    """The name of how much larger a role is after the last pass of the crowd than after the first."""
    return f"{role}, memory after the last ÷ after the first pass"


def flat(requests: int) -> str:
    """The name of the cost of so many requests beside that of `FEW`."""
    return f"all processes, {requests:,} ÷ {FEW:,} requests"


async def measure(bench: Bench) -> None:
    """Measure the costs, then the crowd."""
    prompts = known_prompts()
    await learn(bench.asking.ours, prompts)
    asks = {
        "cached": lambda i: bench.asking.ours(prompts[i % QUESTIONS]),
        "uncached": lambda _: bench.asking.ours(new_prompt()),
    }
    many = MANY // 4 if bench.length.quick else MANY
    for number in range(bench.length.rounds):
        for kind, ask in in_turn(asks, number):
            bench.say(f"e  cost of {kind} requests, round {number + 1}")
            for name, requests in in_turn({"few": FEW, "many": many}, number):
                await _spend(bench, kind, ask, requests, detailed=name == "many")
    if bench.length.long:
        for kind, ask in asks.items():
            bench.say(f"e  cost of {VERY_MANY:,} {kind} requests")
            await _spend(bench, kind, ask, VERY_MANY, detailed=False)
    for kind in asks:
        _compare(bench, kind, [many, VERY_MANY] if bench.length.long else [many])
    await _crowd(bench)


async def _spend(bench: Bench, kind: str, ask, requests: int, *, detailed: bool) -> None:
    """Ask so often, and add what it cost until the recorder had written it."""
    await bench.where.caught_up()
    usage = bench.usage()
    before = usage.cpu_s()
    await counted_loop(ask, IN_FLIGHT, requests)
    client_s = usage.cpu_s()["client"]  # What looks whether the recorder is done is no client.
    await bench.where.caught_up()
    after = usage.cpu_s() | {"client": client_s}
    spent = {role: (cpu_s - before[role]) / requests * 1e6 for role, cpu_s in after.items()}
    for role, cost in spent.items() if detailed else ():
        bench.results.add(part(kind), role, cost, "CPU ms")
    bench.results.add(part(kind), _total(requests), sum(spent.values()), "CPU ms")


def _total(requests: int) -> str:
    return f"all processes, over {requests:,} requests"


def _compare(bench: Bench, kind: str, many: list[int]) -> None:
    few = bench.results.median(part(kind), _total(FEW)) or 1
    for requests in many:
        for cost in bench.results.rounds[part(kind)][_total(requests)]:
            bench.results.add(part(kind), flat(requests), cost / few, "×")


async def _crowd(bench: Bench) -> None:
    """Keep so many in flight that everything queues, several times: what grows with every pass is not bounded."""
    failed: Counter[str] = Counter()

    async def one(_: int) -> None:
        try:
            await bench.asking.ours(new_prompt())
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it is what is counted
            failed[type(error).__name__] += 1

    for number in range(PASSES):
        bench.say(f"e  {CROWD:,} in flight, pass {number + 1}")
        await counted_loop(one, CROWD, 2 * CROWD)
        for role, rss_mb in bench.usage().rss_mb().items():
            bench.results.add(CROWDED, f"{role}, memory after a pass", rss_mb, "MB")
    bench.results.add(CROWDED, FAILED, failed.total(), "")
    if failed:
        bench.results.remark(f"{CROWDED}: failed requests: {dict(failed)}.")
    await bench.where.caught_up()
    for role in ("coordinator", "worker"):
        passes = bench.results.rounds[CROWDED][f"{role}, memory after a pass"]
        bench.results.add(CROWDED, growth(role), passes[-1] / passes[0], "×")
