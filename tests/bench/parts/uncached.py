"""b: uncached calls per second to a backend without latency, beside as many direct HTTP calls to it and an echo."""

from tests.bench.asking import BARE, DIRECT, OURS, AskOnce
from tests.bench.bench import Bench, Stretch
from tests.bench.loops import closed_loop
from tests.bench.parts.cached import AIO_PIKA, echoes
from tests.bench.questions import PROMPT_CHARS, new_prompt

IN_FLIGHT = (1, 100)


def part(in_flight: int) -> str:
    """The title of the results."""
    return f"b  uncached, {in_flight:,} in flight, backend without latency"


async def measure(bench: Bench) -> None:
    """Measure all ways."""
    asks = {DIRECT: bench.direct.ask, **bench.asking.ways}
    ways = {AIO_PIKA: echoes(bench, PROMPT_CHARS), **{name: calls(ask) for name, ask in asks.items()}}
    await bench.rounds("b  uncached", ways, {in_flight: part(in_flight) for in_flight in IN_FLIGHT})
    for in_flight in IN_FLIGHT:
        for ours in (OURS, BARE):
            for other in (DIRECT, AIO_PIKA):
                bench.results.rates(part(in_flight), ours, other)


def calls(ask: AskOnce, chars: int = PROMPT_CHARS) -> Stretch:
    """A closed loop of questions that nobody has asked before; an answer from elsewhere is an error."""

    async def one(_: int) -> None:
        source = await ask(new_prompt(chars), "fast")
        assert source == "backend", source

    return lambda in_flight, seconds: closed_loop(one, in_flight, seconds)
