"""What operators turn holds at once, on real processes: the simulator's request log is the judge.

Two deployed routes are busy at the same time: one of a single backend with two workers, one of two backends.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.support.fleet import clients
from tests.support.judge import max_in_window
from tests.support.stack import Stack, wait_until
from tests.support.tap import shared_stack
from tests.support.together import outcome, run_together

COMMAND_S = 10.0
AGENTS = 20


def optimizer(stack: Stack, *words: str) -> str:
    """Run a command of the optimizer to its good end; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "optimizer_ops", *words],
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@asynccontextmanager
async def busy_fleet(stack: Stack, route: str, name: str):
    """Agents that always have something to ask; leaving this stops them and tells how many answers they got."""
    answered = [0]

    async def ask(client, number: int) -> None:
        for i in range(10_000):
            await client.chat(f"{name} {number}.{i}", model=route, timeout=60)
            answered[0] += 1

    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 4)
        tasks = [asyncio.create_task(ask(fleet[number % 4], number)) for number in range(AGENTS)]
        try:
            yield answered
        finally:
            failed = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not failed, failed[0].exception()


async def command(stack: Stack, *words: str) -> float:
    """Run a command; returns when it had ended."""
    await asyncio.to_thread(optimizer, stack, *words)
    return time.monotonic()


def starts(sim, since: float, until: float = float("inf")) -> list[float]:
    """When calls reached the backend in this time."""
    return [call["mono"] for call in sim.calls() if since <= call["mono"] < until]


@pytest.fixture(scope="module")
def operated(tmp_path_factory, amqp_url, redis_url) -> Iterator[dict[str, Any]]:
    """What operators do on both routes at the same time, one after another on each."""
    with shared_stack(tmp_path_factory.mktemp("operators"), amqp_url, redis_url) as stack:
        wide = {"fast": {"count": 20, "per_s": 1.0}, "concurrency": 8}
        sims = [
            stack.simulate("alpha", {"latency": {"base_s": 0.1}}, limits=wide),
            stack.simulate("beta", {"latency": {"base_s": 0.2}}, concurrency=2),
            stack.simulate("gamma", {"latency": {"base_s": 0.2}}, concurrency=4),
        ]
        stack.models["lone"], stack.models["pair"] = ["alpha"], ["beta", "gamma"]
        stack.configure()
        started = [stack.worker(name) for name in ("alpha", "alpha", "beta", "gamma")]
        stack.ready(stack.coordinator(), *started)
        yield run_together(lone=on_the_lone(stack, sims[0]), pair=on_the_pair(stack, *sims[1:]))


async def on_the_lone(stack: Stack, sim) -> dict[str, Any]:
    """Pause, resume, lower the rate, bring it back."""
    seen: dict[str, Any] = {}
    async with busy_fleet(stack, "lone", "lone") as answered:
        await asyncio.sleep(1.5)
        seen["paused"] = await command(stack, "pause", "alpha")
        await asyncio.sleep(2.5)
        seen["before"], seen["resuming"] = answered[0], time.monotonic()
        seen["resumed"] = await command(stack, "resume", "alpha")
        await asyncio.sleep(2)
        seen["after"] = answered[0]
        seen["lowered"] = await command(stack, "budget", "set", "alpha", "fast=5")
        await asyncio.sleep(2.5)
        seen["levels"] = json.loads(await asyncio.to_thread(optimizer, stack, "budgets", "alpha", "--json"))["backends"]
        seen["raising"] = time.monotonic()
        seen["raised"] = await command(stack, "budget", "reset", "alpha")
        await asyncio.sleep(2)
    return seen | {"sim": sim}


async def on_the_pair(stack: Stack, first, second) -> dict[str, Any]:
    """Pause the first and resume it; then drain it."""
    seen: dict[str, Any] = {}
    async with busy_fleet(stack, "pair", "pair") as answered:
        await asyncio.sleep(1)
        seen["paused"] = await command(stack, "pause", "beta")
        await asyncio.sleep(1)
        seen["before"] = answered[0]
        await asyncio.sleep(2)
        seen["resuming"], seen["after"] = time.monotonic(), answered[0]
        resumed = await command(stack, "resume", "beta")
        await asyncio.to_thread(wait_until, lambda: len(starts(first, resumed)) >= 5, "calls after the pause")
        seen["draining"] = time.monotonic()
        await command(stack, "drain", "beta")
        await asyncio.sleep(4)
        seen["late"], seen["before_late"] = time.monotonic(), answered[0]
        await asyncio.sleep(1.5)
        seen["after_late"] = answered[0]
    return seen | {"first": first, "second": second}


@pytest.mark.slow
def test_pause_stops_two_workers_within_a_second_and_resume_goes_on(operated):
    """A pause under load stops the calls of both workers within a second, though much waits; resume goes on at once."""
    seen = outcome(operated, "lone")
    sim, paused, resuming = seen["sim"], seen["paused"], seen["resuming"]

    assert len(starts(sim, paused - 2, paused)) > 10
    assert starts(sim, paused + 1, resuming) == []
    assert starts(sim, resuming, seen["resumed"] + 1)
    assert seen["after"] > seen["before"]


@pytest.mark.slow
def test_a_count_that_is_set_holds_on_all_workers_and_can_be_taken_back(operated):
    """`budget set` lowers the rate of two workers within a window, to the full of what is set; reset brings it back."""
    seen = outcome(operated, "lone")
    sim, lowered, raising = seen["sim"], seen["lowered"], seen["raising"]

    before, after = starts(sim, lowered - 2.0, lowered - 0.5), starts(sim, lowered + 1, raising)
    assert 10 < max_in_window(before, 1.0)[0] <= 20
    assert max_in_window(after, 1.0)[0] == 5
    assert len(after) >= 0.9 * 5 * (raising - lowered - 1) - 5
    assert 10 < max_in_window(starts(sim, seen["raised"]), 1.0)[0] <= 20
    (limit,) = seen["levels"][0]["limits"]
    assert (limit["name"], limit["configured"], limit["count"]) == ("fast", 20, 5)


@pytest.mark.slow
def test_what_waits_at_a_paused_backend_moves_on_along_its_route(operated):
    """While one backend is paused, the other one of the route answers everything, and no request fails."""
    seen = outcome(operated, "pair")

    assert starts(seen["first"], 0.0, seen["paused"])
    assert starts(seen["first"], seen["paused"] + 1, seen["resuming"]) == []
    assert seen["after"] - seen["before"] > 20
    assert len(starts(seen["second"], seen["paused"] + 1, seen["resuming"])) > 20


@pytest.mark.slow
def test_a_drained_backend_gets_no_new_requests_but_serves_what_waits(operated):
    """A backend that drains answers what already waits for it and then stands idle; nothing new is routed there."""
    seen = outcome(operated, "pair")

    assert starts(seen["first"], seen["draining"] - 1, seen["draining"])
    assert starts(seen["first"], seen["late"]) == []
    assert starts(seen["second"], seen["late"])
    assert seen["after_late"] > seen["before_late"]
