"""An open loop: requests come when they come, whether or not others have been answered.

Latency counts from the moment a request was meant to be sent, so that a sender that comes late hides nothing.
"""

import asyncio
import random
import time
from collections.abc import Sequence

from tests.bench.loops import Ask
from tests.bench.sample import Sample, sample


def arrivals(per_s: float, seconds: float, seed: int) -> list[float]:
    """The moments, in seconds from the start, at which a Poisson process of this rate sends."""
    dice, at, moments = random.Random(seed), 0.0, []
    while (at := at + dice.expovariate(per_s)) < seconds:
        moments.append(at)
    return moments


async def open_loop(ask: Ask, moments: Sequence[float]) -> Sample:
    """Ask at these moments; `ask` gets the number of the moment. An error of it is a failed request."""
    latencies_s: list[float] = []
    failed = 0
    began = time.perf_counter()

    async def one(number: int, meant: float) -> None:
        nonlocal failed
        try:
            await ask(number)
        except Exception:  # noqa: BLE001 - whatever went wrong, it is counted and the load goes on
            failed += 1
        else:
            latencies_s.append(time.perf_counter() - meant)

    async with asyncio.TaskGroup() as group:
        for number, moment in enumerate(moments):
            if (early_s := began + moment - time.perf_counter()) > 0:
                await asyncio.sleep(early_s)
            group.create_task(one(number, began + moment))
    return sample(latencies_s, time.perf_counter() - began, failed)
