"""Row 1: a worker dies by kill -9, at every step of a call."""

import asyncio
import time

import pytest
from tests.lab.laboratory import Laboratory

STEPS = ("receive", "reserve", "begin", "tell", "call", "store", "reply", "event", "ack")


async def killed_at(lab: Laboratory, point: str, at_once: int = 4) -> None:
    """A worker kills itself at a point while identical and different requests are in flight; another one is there."""
    lab.simulate("alpha", {"latency": {"base_s": 0.3}}, limits={"concurrency": at_once})
    await lab.start(workers=1)
    since = time.monotonic()
    victim = lab.stack.worker("alpha", OPTIMIZER_CRASH_AT=point)
    await lab.ready(victim)
    clients = await lab.clients(3)
    for client in clients:
        lab.ask(client, "the same", 60)
        for i in range(3):
            lab.ask(client, f"{client.agent} {i}", 60)
    await lab.kills.own_death(victim, since)
    await lab.all(75)
    await lab.verify(service_s=0.3)


@pytest.mark.fault(1)
async def test_killed_after_the_answer_was_stored(lab: Laboratory):
    """A worker that dies with an answer stored and nobody told: all are answered, with one call for each question."""
    await killed_at(lab, "worker.after_store", at_once=1)

    assert len(lab.calls()) == 10


@pytest.mark.fault(1)
async def test_a_call_is_known_of_before_it_is_made(lab: Laboratory):
    """A worker that dies as it is about to call has told of the call: none can be made that the history misses."""
    lab.simulate("alpha")
    await lab.start(workers=1)
    since = time.monotonic()
    victim = lab.stack.worker("alpha", OPTIMIZER_CRASH_AT="worker.after_tell")
    await lab.ready(victim)
    await asyncio.to_thread(lab.of("worker")[0].stop)
    (client,) = await lab.clients(1)
    lab.ask(client, "a question", 60)
    await lab.kills.own_death(victim, since)
    assert lab.calls() == []

    await lab.ready(lab.stack.worker("alpha"))
    await lab.all(75)

    started = [event for event in await asyncio.to_thread(lab.events) if event["type"] == "optimizer.call.started"]
    assert (len(started), len({event["call_id"] for event in started})) == (2, 2)
    assert len(lab.calls()) == 1
    await lab.verify()


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step(lab: Laboratory, step: str):
    """A worker that dies at a step of a call loses nothing, and costs each question at most one further call."""
    await killed_at(lab, f"worker.after_{step}")


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.parametrize("step", ["release", "forward"])
async def test_killed_while_it_passes_a_failed_call_on(lab: Laboratory, step: str):
    """A worker that dies between a failed call and the next backend's one loses nothing, and no call runs twice."""
    lab.simulate("alpha", {"fail": [503] * 4})
    lab.simulate("beta", {"latency": {"base_s": 0.3}})
    await lab.start()
    since = time.monotonic()
    victim = lab.stack.worker("alpha", OPTIMIZER_CRASH_AT=f"worker.after_{step}")
    await lab.ready(victim)
    for client in await lab.clients(2):
        lab.ask(client, "the same", 60)
        for i in range(2):
            lab.ask(client, f"{client.agent} {i}", 60)
    await lab.kills.own_death(victim, since, extra_calls=1)
    await lab.all(75)
    await lab.verify(service_s=0.3)


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.parametrize("step", ["begin", "call", "store"])
async def test_two_killed_one_after_the_other(lab: Laboratory, step: str):
    """Who takes over a dead worker's calls dies as well, at the same step: a third answers, at most two calls later."""
    lab.simulate("alpha", {"latency": {"base_s": 0.3}}, limits={"concurrency": 1})
    await lab.start(workers=1)
    since = time.monotonic()
    victims = [lab.stack.worker("alpha", OPTIMIZER_CRASH_AT=f"worker.after_{step}") for _ in range(2)]
    await lab.ready(*victims)
    await asyncio.to_thread(lab.of("worker")[0].stop)
    clients = await lab.clients(3)
    for client in clients:
        lab.ask(client, "the same", 90)
    first = await lab.until(
        lambda: next((each for each in victims if each.process.poll() is not None), None), "a death", 30
    )
    await lab.kills.own_death(first, since)
    for client in clients:
        lab.ask(client, client.agent, 90)
    for victim in victims:
        if victim is not first:
            await lab.kills.own_death(victim, since)
    await lab.ready(lab.stack.worker("alpha"))
    await lab.all(100)
    await lab.verify(service_s=0.3)
