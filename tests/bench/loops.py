"""A closed loop: so many tasks ask, each the next question when it has the answer to the last."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import count

from tests.bench.sample import Sample, sample

Ask = Callable[[int], Awaitable[object]]


async def closed_loop(ask: Ask, in_flight: int, seconds: float) -> Sample:
    """Ask with so many tasks for so long; `ask` gets a number that counts up. An error of it ends everything."""
    end = time.perf_counter() + seconds
    return await _loop(ask, in_flight, lambda _: time.perf_counter() < end)


async def counted_loop(ask: Ask, in_flight: int, requests: int) -> Sample:
    """The same for so many requests."""
    return await _loop(ask, in_flight, lambda number: number < requests)


async def _loop(ask: Ask, in_flight: int, more: Callable[[int], bool]) -> Sample:
    numbers, latencies_s = count(), []
    began = time.perf_counter()

    async def one() -> None:
        while more(number := next(numbers)):
            asked = time.perf_counter()
            await ask(number)
            latencies_s.append(time.perf_counter() - asked)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one())
    return sample(latencies_s, time.perf_counter() - began)
