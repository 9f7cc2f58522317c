"""What agents send makes no new series."""

import asyncio
import json
import re
import urllib.request
import uuid
from contextlib import suppress

from tests.support.stack import Stack, wait_until

from optimizer_client import AsyncOptimizer
from optimizer_wire.errors import OptimizerError

SERIES = re.compile(r"^(optimizer_\S+) \S+$", re.MULTILINE)


def series(stack: Stack) -> dict[str, set[str]]:
    """The series of every process, without the values."""
    found = {}
    for running in stack.running:
        if running.name.startswith(("coordinator", "worker")):
            urls = [line["url"] for line in map(json.loads, running.text().splitlines()) if line["event"] == "admin"]
            with urllib.request.urlopen(f"{urls[0]}/metrics", timeout=10) as response:
                found[running.name] = set(SERIES.findall(response.read().decode()))
    return found


async def strangers(stack: Stack, count: int) -> None:
    """So many agents that nobody has heard of, with names, models, tags and prompts of their own."""

    async def one(number: int) -> None:
        name = f"agent-{uuid.uuid4().hex}"
        async with AsyncOptimizer(name, url=stack.amqp_url, prefix=stack.prefix) as client:
            model = f"alpha/{uuid.uuid4().hex}" if number % 2 else "auto"
            with suppress(OptimizerError):
                await client.chat(name, model=model, tags={name: name}, namespace=name, timeout=10)

    await asyncio.gather(*(one(number) for number in range(count)))


def test_strangers_make_no_series(stack: Stack):
    """Agents, models and tags that nobody has heard of make no new series, in no process."""
    stack.simulate("alpha")
    stack.start()
    asyncio.run(strangers(stack, 2))
    wait_until(
        lambda: any("optimizer_queue_consumers" in name for each in series(stack).values() for name in each),
        "the gauges of the fleet",
    )
    before = series(stack)

    asyncio.run(strangers(stack, 20))

    assert len(before) >= 2
    assert series(stack) == before
