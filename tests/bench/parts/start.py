"""h: how long every process takes to start, how long the client to import, and what memory they take after work."""

import asyncio
import subprocess
import sys
import time

from tests.bench.bench import Bench, in_turn
from tests.bench.loops import counted_loop
from tests.bench.questions import new_prompt
from tests.bench.usage import Usage

PART = "h  start-up and memory"
IMPORT = "import of the client"
IMPORTS_A_ROUND = 3
WORK = 2_000
"""Uncached requests before memory is looked at; in a run of all parts there were many more."""
_IMPORT = (
    "import time; began = time.perf_counter(); from optimizer_client import AsyncOptimizer; "
    "print(time.perf_counter() - began)"
)
PROCESSES = {
    "coordinator": ("coordinator",),
    "worker": ("worker", "fast"),
    "recorder": ("recorder",),
    "dashboard": ("dashboard", "--port", "0"),
}


def memory(role: str) -> str:
    """The name of the memory of a role."""
    return f"{role}, memory after work"


async def measure(bench: Bench) -> None:
    """Start each once a round beside those that run; let those work, and look at their memory."""
    for number in range(bench.length.rounds):
        bench.say(f"h  start-up, round {number + 1}")
        for name, command in in_turn(PROCESSES, number):
            await asyncio.to_thread(_start, bench, name, command)
        for _ in range(IMPORTS_A_ROUND):
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", _IMPORT], capture_output=True, check=True, text=True
            )
            bench.results.add(PART, IMPORT, float(done.stdout) * 1000, "ms")
    await counted_loop(lambda _: bench.asking.ours(new_prompt()), 100, WORK)
    await bench.where.caught_up()
    for role, rss_mb in Usage(bench.where.pids()).rss_mb().items():
        bench.results.add(PART, memory(role), rss_mb, "MB")


def _start(bench: Bench, name: str, command: tuple[str, ...]) -> None:
    began = time.perf_counter()
    running = bench.where.stack.launch(name, "optimizer_ops", *command)
    bench.where.ready(running)
    bench.results.add(PART, f"{name}, start", (time.perf_counter() - began) * 1000, "ms")
    if name == "dashboard":
        rss_mb = Usage({name: [running.process.pid]}).rss_mb()[name]
        bench.results.add(PART, "dashboard, memory after its start", rss_mb, "MB")
    running.stop()
