"""The parts of the benchmark; each adds its rounds to the results."""

import asyncio
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import count

import aiohttp
import psutil
from tests.bench.deployment import Deployment
from tests.bench.echo import EchoClient
from tests.bench.loops import Sample, closed_loop
from tests.bench.report import Results

from optimizer_client import AsyncOptimizer

IN_FLIGHT = (1, 10, 100, 1_000)
COLLAPSED = 1_000
QUESTIONS = 100
PROMPT_CHARS = 300
IMPORTS = (
    "import time; began = time.perf_counter(); from optimizer_client import AsyncOptimizer; "
    "print(time.perf_counter() - began)"
)


@dataclass(frozen=True, slots=True)
class Length:
    """How long to measure."""

    rounds: int
    seconds: float


def prompt(name: object) -> str:
    """A prompt of `PROMPT_CHARS` characters that begins with its name."""
    return f"{name} ".ljust(PROMPT_CHARS, "x")


async def cached(results: Results, where: Deployment, client: AsyncOptimizer, echo: EchoClient, length: Length) -> None:
    """Cached answers per second, each stretch beside one of the bare echo; and what they cost each process."""
    questions = [prompt(f"cached {i}") for i in range(QUESTIONS)]
    for reply in await asyncio.gather(*(client.chat(question, model="fast") for question in questions)):
        assert reply.source == "backend"
    bodies = [question.encode() for question in questions]
    processes = {
        "ours": {"client": os.getpid(), "coordinator": where.coordinator.process.pid},
        "echo": {"echo client": os.getpid(), "echo server": where.echo.process.pid},
    }
    for number in range(length.rounds):
        for in_flight in IN_FLIGHT:
            part = f"cached, {in_flight:,} in flight"
            pair = [
                ("echo", lambda i: echo.ask(bodies[i % QUESTIONS])),
                ("ours", lambda i: client.chat(questions[i % QUESTIONS], model="fast")),
            ]
            # Who goes first changes by round: neither always has the quieter machine.
            for name, ask in pair if number % 2 else reversed(pair):
                before = {process: _cpu_s(pid) for process, pid in processes[name].items()}
                sample = await closed_loop(ask, in_flight, length.seconds)
                results.add(part, f"{name} per second", sample.per_s, "1/s")
                results.add(part, f"{name} latency p50", sample.p50_ms, "ms")
                if in_flight == 100:
                    _add_cost(results, "cached", sample, before, processes[name])
    for in_flight in IN_FLIGHT:
        results.ratio(f"cached, {in_flight:,} in flight", "ours / echo", "ours per second", "echo per second")


async def uncached(results: Results, where: Deployment, client: AsyncOptimizer, length: Length) -> None:
    """Uncached calls per second beside direct HTTP calls to the same backend, which answers at once."""
    in_flight, numbers = 100, count()
    part = f"uncached, {in_flight} in flight, backend without latency"
    processes = {"coordinator": where.coordinator.process.pid, "worker": where.worker.process.pid}
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def direct(_: int) -> None:
            messages = [{"role": "user", "content": prompt(next(numbers))}]
            body = {"model": "sim-model", "messages": messages}
            async with http.post(f"{where.fast.url}/v1/chat/completions", json=body) as response:
                assert response.status == 200
                await response.json()

        async def ours(_: int) -> None:
            reply = await client.chat(prompt(next(numbers)), model="fast")
            assert reply.source == "backend"

        for _ in range(length.rounds):
            sample = await closed_loop(direct, in_flight, length.seconds)
            results.add(part, "direct per second", sample.per_s, "1/s")
            before = {process: _cpu_s(pid) for process, pid in processes.items()}
            sample = await closed_loop(ours, in_flight, length.seconds)
            results.add(part, "ours per second", sample.per_s, "1/s")
            results.add(part, "ours latency p50", sample.p50_ms, "ms")
            _add_cost(results, "uncached", sample, before, processes)
    results.ratio(part, "ours / direct", "ours per second", "direct per second")


async def collapsed(results: Results, client: AsyncOptimizer, length: Length) -> None:
    """The time of 1,000 identical requests at once beside that of one."""
    part = f"{COLLAPSED:,} identical at once, backend of 200 ms"
    for number in range(length.rounds):
        began = time.perf_counter()
        await client.chat(prompt(f"alone {number}"), model="slow")
        results.add(part, "one", (time.perf_counter() - began) * 1000, "ms")
        began = time.perf_counter()
        question = prompt(f"together {number}")
        replies = await asyncio.gather(*(client.chat(question, model="slow") for _ in range(COLLAPSED)))
        results.add(part, "all", (time.perf_counter() - began) * 1000, "ms")
        assert sum(reply.source == "backend" for reply in replies) == 1
    results.ratio(part, "all / one", "all", "one")


def processes(results: Results, where: Deployment) -> None:
    """Memory and start-up time of each process, and the import time of the client."""
    for name, running in (("coordinator", where.coordinator), ("worker", where.worker)):
        rss = psutil.Process(running.process.pid).memory_info().rss
        results.add("cost", f"{name} memory", rss / 2**20, "MiB")
    for name, seconds in where.start_s.items():
        results.add("start", name, seconds * 1000, "ms")
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, check=True, text=True)
        results.add("start", "import of the client", float(done.stdout) * 1000, "ms")


def _add_cost(results: Results, what: str, sample: Sample, before: dict[str, float], processes: dict[str, int]) -> None:
    for process, pid in processes.items():
        spent_s = _cpu_s(pid) - before[process]
        results.add("cost", f"{process} per 1,000 {what}", spent_s / sample.answers * 1e6, "CPU ms")


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
