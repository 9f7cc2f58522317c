"""Routing by what backends can take, on real processes; and what is told where none of them takes anything."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from tests.support.fleet import clients, echo
from tests.support.stack import Stack, wait_until
from tests.support.tap import Tap

from optimizer_client import DeadlineExceeded

HOUR = {"hourly": {"count": 5, "per_s": 3600}}


async def test_new_requests_go_where_they_are_answered_soonest(stack: Stack):
    """Once the first backend of the route has used its limit up, requests are sent to the second at once."""
    first = stack.simulate("first", limits=HOUR)
    second = stack.simulate("second")
    stack.start(coordinators=2)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        for number in range(5):
            await client.chat(f"fill {number}", timeout=20)
        # One call finds the limit used up, and moves on; the outlook is known a second or two later.
        await client.chat("one more", timeout=20)
        await asyncio.sleep(2.5)
        waits = []
        for number in range(10):
            began = time.monotonic()
            reply = await client.chat(f"then {number}", timeout=20)
            waits.append(time.monotonic() - began)
            assert (reply.backend, reply.attempts) == ("second", 1)

    assert max(waits) < 1.5
    assert (len(first.calls()), len(second.calls())) == (5, 11)


async def test_what_no_backend_takes_in_time_is_told_at_once(stack: Stack):
    """With every backend of the route shut until after the deadline a request is told so with the reason, uncalled."""
    sims = [stack.simulate(name, limits={"hourly": {"count": 1, "per_s": 3600}}) for name in ("alpha", "beta")]
    stack.start(coordinators=2)
    with Tap(stack.amqp_url, stack.prefix) as tap:
        async with AsyncExitStack() as pool:
            (client,) = await clients(stack, pool, 1)
            await asyncio.gather(client.chat("one", timeout=20), client.chat("two", timeout=20))
            with pytest.raises(DeadlineExceeded):
                await client.chat("three", timeout=5)
            error = await told_early(client)
        errors = [event.fields for event in tap.events() if event.key == "optimizer.error"]

    assert "within the 60 s it has: alpha for 3" in error.message
    assert "(hourly), beta for 3" in error.message
    assert error.retry_after_s == pytest.approx(3600, abs=120)
    assert [len(sim.calls()) for sim in sims] == [1, 1]
    assert errors[-1]["source"].startswith("coordinator/")


async def told_early(client):
    """Ask for what cannot be answered, until the coordinators know; returns what they say of it."""
    for number in range(20):
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded) as caught:
            await client.chat(f"impossible {number}", timeout=60)
        # By a worker, if not by a coordinator.
        assert time.monotonic() - began < 5
        if caught.value.message.startswith("No backend of its route takes a call"):
            return caught.value
        await asyncio.sleep(0.5)
    raise AssertionError("no coordinator told it")


async def test_a_route_that_is_out_is_told_once(stack: Stack):
    """When the last worker of a route is gone, one coordinator of several tells it, once; and again the next time."""
    stack.simulate("alpha")
    stack.simulate("beta")
    stack.start(coordinators=3)
    workers = {running.name: running for running in stack.running if running.name.startswith("worker/")}
    with Tap(stack.amqp_url, stack.prefix) as tap:
        workers["worker/alpha"].stop()
        await asyncio.sleep(2.5)
        assert [event for event in tap.events() if event.key == "optimizer.backend_down"] == []

        workers["worker/beta"].stop()
        told = await asyncio.to_thread(tap.event, "optimizer.backend_down")
        assert told.fields["backend"] == "alpha, beta"
        assert told.fields["message"] == ("Nothing serves the route default: alpha has no worker, beta has no worker.")
        assert await asyncio.to_thread(tap.event, "optimizer.backend_down", 3.0) is None

        again = stack.worker("beta")
        stack.ready(again)
        logs = [running for running in stack.running if running.name == "coordinator"]
        await asyncio.to_thread(wait_until, lambda: any("route is back" in each.text() for each in logs), "the return")
        await asyncio.sleep(1.5)
        again.stop()
        assert await asyncio.to_thread(tap.event, "optimizer.backend_down") is not None
        assert await asyncio.to_thread(tap.event, "optimizer.backend_down", 2.0) is None

    assert sum(each.text().count("route is out") for each in logs) == 2


async def test_a_backend_named_alone_is_asked(stack: Stack):
    """A request that names one backend goes there, also where another one could answer sooner."""
    first = stack.simulate("first", limits={"few": {"count": 1, "per_s": 3}})
    stack.simulate("second")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = [await client.chat(f"question {number}", model="first", timeout=30) for number in range(3)]

    assert [reply.backend for reply in replies] == ["first"] * 3
    assert replies[2].text.startswith(echo("question 2"))
    assert len(first.calls()) == 3
