"""The same fleet of agents, twice what a backend allows for a while, by different ways to it.

    python -m tests.bench --fleet [SCALE]

At scale 1: 600 requests in 100 s at a backend of 180 per minute, each with a deadline of 120 s; all of them can be
answered in time. Smaller scales shrink requests, limit and all times alike (but not the pauses of others' retries).
"""

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table
from tests.bench.contenders import CONTENDERS, MODEL, Scene, missing
from tests.support.fleet import echo
from tests.support.ideal import answerable
from tests.support.judge import Call, max_in_window
from tests.support.leftovers import AmqpCleanup, delete_entities, delete_keys
from tests.support.notes import percentile
from tests.support.services import amqp_service, redis_service
from tests.support.stack import Stack

from optimizer_wire.topology import Names

AGENTS = 28
CALL_S = (0.5, 1.5)


@dataclass(frozen=True)
class Fleet:
    """So many requests, evenly over `for_s`, at a backend of `limit` per `window_s`."""

    requests: int
    for_s: float
    limit: int
    window_s: float
    deadline_s: float
    call_s: tuple[float, float]

    @classmethod
    def at(cls, scale: float) -> "Fleet":
        """The fleet at a scale."""
        low, high = CALL_S
        return cls(
            requests=round(600 * scale),
            for_s=100 * scale,
            limit=round(180 * scale),
            window_s=60 * scale,
            deadline_s=120 * scale,
            call_s=(low * scale, high * scale),
        )


@dataclass(frozen=True)
class Outcome:
    """What became of the fleet by one way."""

    answered: int
    refused: int
    wasted: int
    waits: Sequence[float]
    most: int
    answerable: int


async def race(fleet: Fleet, contender: str, stack: Stack) -> Outcome:
    """Let the fleet ask by one way."""
    low, high = fleet.call_s
    spec = {
        "headers": "openai",
        "latency": {"kind": "jitter", "base_s": low, "spread_s": high - low},
        "limits": {"more": [{"count": fleet.limit, "per_s": fleet.window_s}]},
    }
    sim = stack.simulate("alpha", spec, limits={"w": {"count": fleet.limit, "per_s": fleet.window_s}}, concurrency=32)
    if contender == "the optimizer":
        await asyncio.to_thread(stack.start, coordinators=2, workers=2)
    dice = random.Random(1)
    async with AsyncExitStack() as pool:
        scene = Scene(stack, sim.url, AGENTS, fleet.limit, fleet.deadline_s)
        ask = await pool.enter_async_context(CONTENDERS[contender](scene))
        asked: dict[str, float] = {}
        answered: set[str] = set()

        async def one(number: int) -> None:
            prompt = f"question {number}"
            asked[prompt] = time.monotonic()
            try:
                async with asyncio.timeout(fleet.deadline_s):
                    text = await ask(dice.randrange(AGENTS), prompt)
            except Exception:  # noqa: BLE001 - whatever went wrong, this agent has no answer
                return
            if text.startswith(echo(prompt)):
                answered.add(prompt)

        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(fleet.requests):
                await asyncio.sleep(began + number * fleet.for_s / fleet.requests - time.monotonic())
                group.create_task(one(number))
        # What agents gave up on may still be answered upstream.
        await asyncio.sleep(2 * high)
    return _outcome(fleet, sim.judged(), asked, answered)


def _outcome(fleet: Fleet, calls: Sequence[Call], asked: dict[str, float], answered: set[str]) -> Outcome:
    good = [call for call in calls if call.status == 200]
    first = {call.question: call.start for call in reversed(good)}
    waits = [first[mark] - asked[prompt] for prompt in answered if (mark := echo(prompt)[5:]) in first]
    deadlines = ((at, at + fleet.deadline_s) for at in asked.values())
    return Outcome(
        answered=len(answered),
        refused=sum(call.status == 429 for call in calls),
        wasted=len(good) - len(answered),
        waits=waits,
        most=max_in_window([call.start for call in calls], fleet.window_s)[0],
        answerable=answerable(deadlines, fleet.limit, fleet.window_s, 1, sum(fleet.call_s) / 2),
    )


def compare(scale: float, console: Console) -> dict[str, Outcome]:
    """Measure every way that there is here, one after the other, and print a table."""
    fleet = Fleet.at(scale)
    found: dict[str, Outcome] = {}
    with amqp_service() as amqp_url, redis_service() as redis_url:
        for contender in CONTENDERS:
            if sentence := missing(contender):
                console.print(sentence)
                continue
            prefix = f"bench-{uuid.uuid4().hex[:12]}"
            with TemporaryDirectory() as folder:
                stack = Stack(Path(folder), amqp_url, redis_url, prefix)
                try:
                    found[contender] = asyncio.run(race(fleet, contender, stack))
                finally:
                    stack.close()
                    cleanup = AmqpCleanup(Names(prefix))
                    cleanup.shared()
                    cleanup.backends(*stack.backends)
                    delete_entities(amqp_url, cleanup.queues, cleanup.exchanges)
                    delete_keys(redis_url, prefix)
    _show(fleet, found, console)
    return found


def _show(fleet: Fleet, found: dict[str, Outcome], console: Console) -> None:
    table = Table(
        "way to the backend",
        "answered in time",
        "answers of 429",
        "wasted answers",
        "p50 wait",
        "p95 wait",
        f"most in {fleet.window_s:g} s",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name, outcome in found.items():
        waits = [f"{percentile(outcome.waits, share):.1f} s" if outcome.waits else "-" for share in (0.5, 0.95)]
        share = f"{outcome.answered} ({outcome.answered / fleet.requests:.0%})"
        table.add_row(name, share, str(outcome.refused), str(outcome.wasted), *waits, str(outcome.most))
    console.print(table)
    best = max((outcome.answerable for outcome in found.values()), default=0)
    console.print(
        f"{fleet.requests} requests of {AGENTS} agents in {fleet.for_s:g} s at one backend ({MODEL}) of {fleet.limit} "
        f"in {fleet.window_s:g} s, deadline {fleet.deadline_s:g} s; {best} can be answered in time. Wasted: good "
        f"answers of the backend that no agent was there to get. Wait: from the request to the call that answered it."
    )
