"""When an open loop asks, and from when it counts."""

import asyncio
import time

import pytest
from tests.bench.open_loop import arrivals, open_loop


def test_arrivals_come_at_their_rate_and_the_same_for_a_seed():
    """Moments rise, end within the time, are as many as the rate says, and belong to their seed."""
    moments = arrivals(300, 10, seed=1)
    assert moments == sorted(moments)
    assert moments[-1] < 10
    assert len(moments) == pytest.approx(3_000, rel=0.1)
    assert moments == arrivals(300, 10, seed=1) != arrivals(300, 10, seed=2)


async def test_latency_counts_from_the_moment_that_was_meant():
    """What comes late because the sender was held up is as slow as if it had come in time."""

    async def holds_up(_: int) -> None:
        time.sleep(0.05)

    found = await open_loop(holds_up, [0.0] * 4)
    assert found.p99_ms >= 200


async def test_requests_do_not_wait_for_each_other():
    """All are on their way before the first is answered."""
    asked = 0
    everybody = asyncio.Event()

    async def waits(_: int) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            everybody.set()
        await everybody.wait()

    async with asyncio.timeout(5):
        assert (await open_loop(waits, [0.0, 0.001, 0.002])).answers == 3


async def test_what_fails_is_counted():
    """An error is a failed request and ends nothing."""

    async def fails(number: int) -> None:
        if number == 0:
            raise ValueError

    found = await open_loop(fails, [0.0, 0.0])
    assert (found.answers, found.failed) == (1, 1)
