"""a: cached answers per second and their latency, beside echo RPCs that do nothing but travel."""

import asyncio

from tests.bench.asking import BARE, OURS, AskOnce
from tests.bench.bench import Bench, Stretch
from tests.bench.loops import closed_loop
from tests.bench.questions import QUESTIONS, known_prompts

IN_FLIGHT = (1, 10, 100, 1_000)
AIO_PIKA, PIKA = "aio-pika echo", "pika echo"


def part(in_flight: int) -> str:
    """The title of the results."""
    return f"a  cached, {in_flight:,} in flight"


async def measure(bench: Bench) -> None:
    """Measure all ways at all loads."""
    prompts = known_prompts()
    await learn(bench.asking.ours, prompts)
    ways: dict[str, Stretch] = {AIO_PIKA: echoes(bench, len(prompts[0])), PIKA: bench.pika.stretch}
    ways |= {name: hits(ask, prompts) for name, ask in bench.asking.ways.items()}
    await bench.rounds("a  cached", ways, {in_flight: part(in_flight) for in_flight in IN_FLIGHT})
    for in_flight in IN_FLIGHT:
        for ours in (OURS, BARE):
            for echo in (AIO_PIKA, PIKA):
                bench.results.rates(part(in_flight), ours, echo)


async def learn(ask: AskOnce, prompts: list[str]) -> None:
    """Have all answers cached."""
    await asyncio.gather(*(ask(prompt, "fast") for prompt in prompts))


def hits(ask: AskOnce, prompts: list[str]) -> Stretch:
    """A closed loop of questions whose answers are cached; one that is not is an error."""

    async def one(number: int) -> None:
        source = await ask(prompts[number % QUESTIONS], "fast")
        assert source == "cache", source

    return lambda in_flight, seconds: closed_loop(one, in_flight, seconds)


def echoes(bench: Bench, size: int) -> Stretch:
    """A closed loop of echoes of so many bytes."""
    body = b"x" * size
    return lambda in_flight, seconds: closed_loop(lambda _: bench.echo.ask(body), in_flight, seconds)
