"""A closed loop: so many tasks ask, each the next question when it has the answer to the last."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from statistics import median

Ask = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One stretch of load: answers per second, and the median and 99th percentile of their latency in ms."""

    per_s: float
    p50_ms: float
    p99_ms: float
    answers: int


async def closed_loop(ask: Ask, in_flight: int, seconds: float) -> Sample:
    """Ask with so many tasks for so long; `ask` gets a number that counts up. An error of it ends everything."""
    numbers, latencies = count(), []
    began = time.perf_counter()
    end = began + seconds

    async def one() -> None:
        while (asked := time.perf_counter()) < end:
            await ask(next(numbers))
            latencies.append(time.perf_counter() - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one())
    took = time.perf_counter() - began
    latencies.sort()
    p99 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]
    return Sample(len(latencies) / took, median(latencies) * 1000, p99 * 1000, len(latencies))
