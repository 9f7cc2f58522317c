"""Routing by what backends can take, on real processes; and what is told where none of them takes anything.

Four routes of one deployment with three coordinators are used at the same time.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.support.fleet import clients, echo
from tests.support.stack import Running, Simulated, Stack, wait_until
from tests.support.tap import Message, Tap, shared_stack
from tests.support.together import outcome, run_together

from optimizer_client import DeadlineExceeded

HOUR = {"hourly": {"count": 5, "per_s": 3600}}


DOWN = "optimizer.backend_down"


@pytest.fixture(scope="module")
def routed(tmp_path_factory, amqp_url, redis_url) -> Iterator[dict[str, Any]]:
    """What became of the four routes."""
    with shared_stack(tmp_path_factory.mktemp("routing"), amqp_url, redis_url) as stack:
        once = {"hourly": {"count": 1, "per_s": 3600}}
        sims = {
            "first": stack.simulate("first", limits=HOUR),
            "second": stack.simulate("second"),
            "alpha": stack.simulate("alpha", limits=once),
            "beta": stack.simulate("beta", limits=once),
            "named": stack.simulate("named", limits={"few": {"count": 1, "per_s": 2}}),
            "gone": stack.simulate("gone"),
            "leaving": stack.simulate("leaving"),
        }
        stack.routes["default"] = ["gone", "leaving"]
        stack.models = {"soonest": ["first", "second"], "shut": ["alpha", "beta"], "either": ["named", "second"]}
        stack.start(coordinators=3)
        yield run_together(
            soonest=soonest(stack, sims), shut=shut(stack, sims), gone=gone(stack), alone=alone(stack, sims["named"])
        )


async def soonest(stack: Stack, sims: dict[str, Simulated]) -> None:
    """Use the first backend up, and go on."""
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for number in range(5):
            await client.chat(f"fill {number}", model="soonest", timeout=20)
        # One call finds the limit used up, and moves on; the outlook is known a second or two later.
        await client.chat("one more", model="soonest", timeout=20)
        await asyncio.sleep(2.5)
        waits = []
        for number in range(10):
            began = time.monotonic()
            reply = await client.chat(f"then {number}", model="soonest", timeout=20)
            waits.append(time.monotonic() - began)
            assert (reply.backend, reply.attempts) == ("second", 1)

    assert max(waits) < 1.5
    assert (len(sims["first"].calls()), len(sims["second"].calls())) == (5, 11)


def test_new_requests_go_where_they_are_answered_soonest(routed):
    """Once the first backend of the route has used its limit up, requests are sent to the second at once."""
    outcome(routed, "soonest")


async def shut(stack: Stack, sims: dict[str, Simulated]) -> None:
    """Use both backends up, and ask for more."""
    sources: list[str] = []
    with Tap(stack.amqp_url, stack.prefix) as tap:
        async with AsyncExitStack() as pool:
            (client,) = await clients(stack, pool, 1)
            await asyncio.gather(*(client.chat(name, model="shut", timeout=20) for name in ("one", "two")))
            with pytest.raises(DeadlineExceeded):
                await client.chat("three", model="shut", timeout=5)
            error = await told_early(client)
        # The reply may overtake the event.
        async with asyncio.timeout(10):
            while not any(source.startswith("coordinator/") for source in sources):
                sources += [event.fields["source"] for event in tap.events() if event.key == "optimizer.error"]
                await asyncio.sleep(0.05)

    assert "within the 60 s it has: alpha for 3" in error.message
    assert "(hourly), beta for 3" in error.message
    assert error.retry_after_s == pytest.approx(3600, abs=120)
    assert [len(sims[name].calls()) for name in ("alpha", "beta")] == [1, 1]


async def told_early(client):
    """Ask for what cannot be answered, until the coordinators know; returns what they say of it."""
    for number in range(20):
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught:
            await client.chat(f"impossible {number}", model="shut", timeout=60)
        # By a worker, if not by a coordinator.
        assert time.monotonic() - began < 5
        if caught.value.message.startswith("No backend of its route takes a call"):
            return caught.value
        await asyncio.sleep(0.5)
    raise AssertionError("no coordinator told it")


def test_what_no_backend_takes_in_time_is_told_at_once(routed):
    """With every backend of the route shut until after the deadline a request is told so with the reason, uncalled."""
    outcome(routed, "shut")


def told_down(tap: Tap, timeout_s: float) -> Message | None:
    """The next event that tells of the route that goes out in this file."""
    end = time.monotonic() + timeout_s
    while found := tap.event(DOWN, max(0.0, end - time.monotonic())):
        if found.fields["backend"] == "gone, leaving":
            return found
    return None


async def gone(stack: Stack) -> None:
    """Stop a route's workers, let one come back, and stop that too."""
    workers = {running.name: running for running in stack.running if running.name.startswith("worker/")}
    logs = [running for running in stack.running if running.name == "coordinator"]

    def came_back(log: Running) -> bool:
        return any("route is back" in line and "leaving" in line for line in log.text().splitlines())

    with Tap(stack.amqp_url, stack.prefix) as tap:
        await asyncio.to_thread(workers["worker/gone"].stop)
        assert await asyncio.to_thread(told_down, tap, 2.0) is None

        await asyncio.to_thread(workers["worker/leaving"].stop)
        told = await asyncio.to_thread(told_down, tap, 20.0)
        assert told is not None
        assert told.fields["message"] == (
            "Nothing serves the route default: gone has no worker, leaving has no worker."
        )
        assert await asyncio.to_thread(told_down, tap, 2.0) is None

        again = stack.worker("leaving")
        await asyncio.to_thread(stack.ready, again)
        await asyncio.to_thread(wait_until, lambda: any(map(came_back, logs)), "the return")
        await asyncio.sleep(1.5)
        await asyncio.to_thread(again.stop)
        assert await asyncio.to_thread(told_down, tap, 20.0) is not None
        assert await asyncio.to_thread(told_down, tap, 2.0) is None

    lines = [line for log in logs for line in log.text().splitlines()]
    assert sum("route is out" in line and "gone has no worker" in line for line in lines) == 2


def test_a_route_that_is_out_is_told_once(routed):
    """When the last worker of a route is gone, one coordinator of several tells it, once; and again the next time."""
    outcome(routed, "gone")


async def alone(stack: Stack, named: Simulated) -> None:
    """Name a backend that has to wait."""
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = [await client.chat(f"question {number}", model="named", timeout=30) for number in range(3)]

    assert [reply.backend for reply in replies] == ["named"] * 3
    assert replies[2].text.startswith(echo("question 2"))
    assert len(named.calls()) == 3


def test_a_backend_named_alone_is_asked(routed):
    """A request that names one backend goes there, also where another one could answer sooner."""
    outcome(routed, "alone")
