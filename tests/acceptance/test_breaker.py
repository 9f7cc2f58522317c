"""The circuit breaker of a backend is the whole fleet's: it opens once, tries by one call, and is told of once."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.support.fleet import clients
from tests.support.notes import ANSWERED, Notebook
from tests.support.stack import Simulated, Stack, wait_until
from tests.support.tap import Tap, shared_stack
from tests.support.together import outcome, run_together

OPEN_S = 1.5
BREAKER = {"failures": 5, "within_s": 60.0, "open_s": OPEN_S}
PREFIX = "optimizer.circuit_breaker."


def told(tap: Tap, backend: str) -> list[str]:
    """What the breaker of a backend went through, by its events."""
    found = [message for message in tap.events() if message.fields.get("backend") == backend]
    return [message.key.removeprefix(PREFIX) for message in found if message.key.startswith(PREFIX)]


@pytest.fixture(scope="module")
def broken(tmp_path_factory, amqp_url, redis_url) -> Iterator[dict[str, Any]]:
    """A route of two backends whose first has three workers and fails for a while, and one whose only backend fails."""
    with shared_stack(tmp_path_factory.mktemp("breaker"), amqp_url, redis_url) as stack:
        sim = stack.simulate("alpha", {"latency": {"base_s": 0.1}}, concurrency=4, breaker=BREAKER)
        stack.simulate("beta", {"latency": {"base_s": 0.1}}, concurrency=64)
        stack.simulate("gamma", {"fail_rate": 1.0, "fail_with": [500]}, breaker={**BREAKER, "open_s": 60.0})
        stack.models = {"pair": ["alpha", "beta"], "lone": ["gamma"]}
        stack.extra = "[waits]\nretry_s = [0.1, 0.1, 0.1]\n"
        stack.configure()
        workers = [stack.worker(name) for name in ("alpha", "alpha", "alpha", "beta", "gamma")]
        stack.ready(stack.coordinator(), *workers)
        yield run_together(pair=opens_tries_and_closes(stack, sim), lone=goes_out(stack))


async def opens_tries_and_closes(stack: Stack, sim: Simulated) -> None:
    """Let the backend fail for a while and ask on."""
    book = Notebook()
    with Tap(stack.amqp_url, stack.prefix) as tap:
        async with AsyncExitStack() as pool:
            (client,) = await clients(stack, pool, 1)

            async def ask_for(seconds: float, name: str) -> None:
                for i in range(int(seconds * 20)):
                    book.ask(client, f"{name} {i}", 30.0, model="pair")
                    await asyncio.sleep(0.05)

            await asyncio.to_thread(sim.control, fail_rate=1.0, fail_with=[500])
            await ask_for(2.2 * OPEN_S, "bad")
            await asyncio.to_thread(sim.control, fail_rate=0.0)
            await ask_for(1.5 * OPEN_S, "good")
            await book.all()
        await asyncio.sleep(0.3)
        states = told(tap, "alpha")
    failed = [call for call in sim.judged() if call.status != 200]
    print(states, [round(call.start - failed[0].start, 2) for call in failed], len(sim.judged()))

    assert book.count(ANSWERED) == len(book.notes)
    # It opens, and every trial but the last fails and opens it again.
    tries = (len(states) - 1) // 2
    assert states == ["open", *["half_open", "open"] * (tries - 1), "half_open", "closed"]
    assert tries >= 2
    assert len(failed) <= 4 + 5 + tries - 1
    # After it opened (calls on their way end within a moment), no two calls that failed are closer than it stays open.
    later = [call.start for call in failed if call.start > failed[0].start + 1.0]
    assert all(b - a >= OPEN_S for a, b in itertools.pairwise(later))
    assert sim.judged()[-1].status == 200


def test_breaker_opens_tries_and_closes(broken):
    """Three workers and a backend that fails: it opens once, is tried by one call at a time, closes when that is
    answered; each change is told once, and no request fails."""
    outcome(broken, "pair")


async def goes_out(stack: Stack) -> None:
    """Ask until the breaker is open, and once more."""
    book = Notebook()
    with Tap(stack.amqp_url, stack.prefix) as tap:
        async with AsyncExitStack() as pool:
            (client,) = await clients(stack, pool, 1)
            for i in range(8):
                book.ask(client, f"question {i}", 20.0, model="lone")
            await asyncio.to_thread(wait_until, lambda: tap.event("optimizer.backend_down", 0.1), "backend_down", 15.0)
            book.ask(client, "afterwards", 20.0, model="lone")
            await asyncio.wait_for(book.all(), 12)
        await asyncio.sleep(1.5)
        again = [message.key for message in tap.events() if message.key == "optimizer.backend_down"]

    print({note.outcome for note in book.notes})
    assert again == []
    assert book.count(ANSWERED) == 0
    assert book.notes[-1].left_s > 10


def test_route_that_is_out_is_told(broken):
    """When the breaker of a route's only backend opens, `optimizer.backend_down` is told, once, and a request whose
    deadline lies before the breaker's end hears of it early."""
    outcome(broken, "lone")
