"""What the processes show is well formed, and what agents send makes no new series of it."""

import asyncio
import json
import re
import urllib.request
import uuid
from contextlib import suppress

import pytest
from tests.support.promtool import promtool
from tests.support.stack import Running, Stack, wait_until
from tests.support.tap import shared_stack

from optimizer_client import AsyncOptimizer
from optimizer_wire.errors import OptimizerError

SERIES = re.compile(r"^(optimizer_\S+) \S+$", re.MULTILINE)


@pytest.fixture(scope="module")
def serving(tmp_path_factory, amqp_url, redis_url):
    """A coordinator and a worker that serve."""
    with shared_stack(tmp_path_factory.mktemp("serving"), amqp_url, redis_url) as stack:
        stack.simulate("alpha")
        stack.start()
        yield stack


def shown(running: Running) -> str:
    """What a process shows under /metrics."""
    url = next(line["url"] for line in map(json.loads, running.text().splitlines()) if line["event"] == "admin")
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        return response.read().decode()


def series(stack: Stack) -> dict[str, set[str]]:
    """The series of every process, without the values."""
    ours = [running for running in stack.running if running.name.startswith(("coordinator", "worker"))]
    return {running.name: set(SERIES.findall(shown(running))) for running in ours}


async def strangers(stack: Stack, count: int) -> None:
    """So many agents that nobody has heard of, with names, models, tags and prompts of their own."""

    async def one(number: int) -> None:
        name = f"agent-{uuid.uuid4().hex}"
        async with AsyncOptimizer(name, url=stack.amqp_url, prefix=stack.prefix) as client:
            model = f"alpha/{uuid.uuid4().hex}" if number % 2 else "auto"
            with suppress(OptimizerError):
                await client.chat(name, model=model, tags={name: name}, namespace=name, timeout=10)

    await asyncio.gather(*(one(number) for number in range(count)))


def test_metrics_are_well_formed(serving, tmp_path):
    """Prometheus' own checker finds nothing to complain of in what the processes show."""
    for running in serving.running:
        if running.name.startswith(("coordinator", "worker")):
            promtool("check", "metrics", folder=tmp_path, said=shown(running))


def test_strangers_make_no_series(serving: Stack):
    """Agents, models and tags that nobody has heard of make no new series, in no process."""
    asyncio.run(strangers(serving, 2))
    wait_until(
        lambda: any("optimizer_queue_consumers" in name for each in series(serving).values() for name in each),
        "the gauges of the fleet",
    )
    before = series(serving)

    asyncio.run(strangers(serving, 20))

    assert len(before) >= 2
    assert series(serving) == before
