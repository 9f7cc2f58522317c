"""What operators turn holds at once, on real processes: the simulator's request log is the judge."""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager

from tests.support.fleet import clients
from tests.support.judge import max_in_window
from tests.support.stack import Stack

COMMAND_S = 10.0
AGENTS = 40


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
async def busy_fleet(stack: Stack, timeout_s: float = 60.0):
    """Agents that always have something to ask; leaving this stops them and tells how many answers they got."""
    answered = [0]

    async def ask(client, number: int) -> None:
        for i in range(10_000):
            await client.chat(f"question {number}.{i}", timeout=timeout_s)
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


async def test_pause_stops_two_workers_within_a_second_and_resume_goes_on(stack: Stack):
    """A pause under load stops the calls of both workers within a second, though much waits; resume goes on at once."""
    sim = stack.simulate("alpha", {"latency": {"base_s": 0.1}}, concurrency=8)
    stack.start(workers=2)
    async with busy_fleet(stack) as answered:
        await asyncio.sleep(1)
        paused = await command(stack, "pause", "alpha")
        await asyncio.sleep(3)
        before, resuming = answered[0], time.monotonic()
        resumed = await command(stack, "resume", "alpha")
        await asyncio.sleep(2)

    assert len(starts(sim, paused - 1, paused)) > 20
    assert starts(sim, paused + 1, resuming) == []
    assert starts(sim, resuming, resumed + 1)
    assert answered[0] > before


async def test_what_waits_at_a_paused_backend_moves_on_along_its_route(stack: Stack):
    """While one backend is paused, the other one of the route answers everything, and no request fails."""
    first = stack.simulate("alpha", {"latency": {"base_s": 0.1}}, concurrency=4)
    second = stack.simulate("beta", {"latency": {"base_s": 0.1}}, concurrency=4)
    stack.start()
    async with busy_fleet(stack) as answered:
        await asyncio.sleep(1)
        paused = await command(stack, "pause", "alpha")
        await asyncio.sleep(1)
        before = answered[0]
        await asyncio.sleep(3)

    assert starts(first, paused + 1) == []
    assert answered[0] - before > 60
    assert len(starts(second, paused + 1)) > 60


async def test_a_drained_backend_gets_no_new_requests_but_serves_what_waits(stack: Stack):
    """A backend that drains answers what already waits for it and then stands idle; nothing new is routed there."""
    first = stack.simulate("alpha", {"latency": {"base_s": 0.2}}, concurrency=2)
    second = stack.simulate("beta", {"latency": {"base_s": 0.02}}, concurrency=8)
    stack.start()
    async with busy_fleet(stack) as answered:
        await asyncio.sleep(1)
        drained = await command(stack, "drain", "alpha")
        await asyncio.sleep(6)
        before = answered[0]
        late = time.monotonic()
        await asyncio.sleep(2)

    assert starts(first, drained - 1, drained)
    assert starts(first, late) == []
    assert starts(second, late)
    assert answered[0] > before


async def test_a_count_that_is_set_holds_on_all_workers_and_can_be_taken_back(stack: Stack):
    """`budget set` lowers the rate of two workers within a window, to the full of what is set; reset brings it back."""
    sim = stack.simulate("alpha", limits={"fast": {"count": 20, "per_s": 1.0}, "concurrency": 16})
    stack.start(workers=2)
    async with busy_fleet(stack):
        await asyncio.sleep(2)
        lowered = await command(stack, "budget", "set", "alpha", "fast=5")
        await asyncio.sleep(4)
        levels = json.loads(await asyncio.to_thread(optimizer, stack, "budgets", "--json"))["backends"]
        raising = time.monotonic()
        raised = await command(stack, "budget", "reset", "alpha")
        await asyncio.sleep(3)

    before, after = starts(sim, lowered - 1.5, lowered - 0.5), starts(sim, lowered + 1, raising)
    assert 10 < max_in_window(before, 1.0)[0] <= 20
    assert max_in_window(after, 1.0)[0] == 5
    assert len(after) >= 0.9 * 5 * (raising - lowered - 1) - 5
    assert 10 < max_in_window(starts(sim, raised), 1.0)[0] <= 20
    (limit,) = levels[0]["limits"]
    assert (limit["name"], limit["configured"], limit["count"]) == ("fast", 20, 5)
