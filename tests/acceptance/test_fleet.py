"""What the optimizer promises, on real processes: RabbitMQ, Redis, coordinators, workers, backends over HTTP."""

import asyncio
import random
import time
from contextlib import AsyncExitStack

import pytest
from tests.support.fleet import clients, echo, load
from tests.support.judge import max_in_window
from tests.support.stack import Stack, wait_until

from optimizer_client import OptimizerError
from optimizer_state.presence import ALIVE_MS


async def test_thousand_identical_requests_make_one_call(stack: Stack):
    """1,000 identical requests from 20 connections through two coordinators make one call and get equal answers."""
    sim = stack.simulate("alpha", {"latency": {"base_s": 0.3}})
    stack.start(coordinators=2)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 20)

        replies = await asyncio.gather(*(c.chat("the same", timeout=30) for c in fleet for _ in range(50)))

    assert len(sim.calls()) == 1
    assert len(replies) == 1000
    assert {reply.text for reply in replies} == {replies[0].text}
    assert replies[0].text.startswith(echo("the same"))


@pytest.mark.slow
async def test_leaders_worker_killed_in_mid_call(stack: Stack):
    """The same with the worker of the call killed by kill -9: the other one makes it again as soon as the dead one has
    been silent for five seconds, though the backend takes one call at a time; every request is answered."""
    sim = stack.simulate("alpha", {"latency": {"base_s": 2.0}}, concurrency=1)
    stack.start(coordinators=2, workers=2)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 20)
        asked = asyncio.gather(*(c.chat("the same", timeout=60) for c in fleet for _ in range(50)))
        await asyncio.to_thread(wait_until, sim.calls, "the first call")
        # Who came to life a moment ago cannot tell the dead from those who have not spoken yet.
        await asyncio.sleep(0.5)
        await asyncio.to_thread(worker_that_calls(stack, sim).kill)
        killed = time.monotonic()

        replies = await asked
        took_s = time.monotonic() - killed

    print(f"answered {took_s:.1f} s after the kill")
    assert len(sim.calls()) == 2
    assert took_s < 2.0 + ALIVE_MS / 1000 + 2.5
    assert {reply.text for reply in replies} == {replies[0].text}


def worker_that_calls(stack: Stack, sim):
    """The worker process that holds a connection to the backend."""
    import psutil

    port = int(sim.url.rsplit(":", 1)[1])
    for running in stack.running:
        if running.name.startswith("worker") and running.process.poll() is None:
            remote = [c.raddr.port for c in psutil.Process(running.process.pid).net_connections("tcp") if c.raddr]
            if port in remote:
                return running
    raise AssertionError("no worker has a connection to the backend")


async def test_every_answer_belongs_to_its_question(stack: Stack):
    """500 in flight of 100 agents, half of them repeats: no error, and each answer carries its question's hash."""
    sim = stack.simulate("alpha", {"latency": {"kind": "jitter", "base_s": 0.05, "spread_s": 0.2}}, concurrency=64)
    stack.start(coordinators=2, workers=2)
    prompts = [f"question {i % 250}" for i in range(500)]
    random.Random(7).shuffle(prompts)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 100)

        replies = await asyncio.gather(*(fleet[i // 5].chat(p, timeout=60) for i, p in enumerate(prompts)))

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    assert len(sim.calls()) == 250


@pytest.mark.slow
async def test_processes_killed_under_load(stack: Stack):
    """A coordinator and a worker killed by kill -9 under load: every request is answered."""
    stack.simulate("alpha", {"latency": {"base_s": 0.05}}, concurrency=16)
    stack.start(coordinators=2, workers=2)
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 10)
        asked = [asyncio.ensure_future(load(client, 60, f"c{i}")) for i, client in enumerate(fleet)]
        await asyncio.sleep(0.5)
        victims = [next(r for r in stack.running if r.name.startswith(kind)) for kind in ("coordinator", "worker")]
        for victim in victims:
            await asyncio.to_thread(victim.kill)

        answered = sum(await asyncio.gather(*asked))

    assert answered == 600


async def pressure(stack: Stack, sim, *, count: int, per_s: float, for_s: float) -> tuple[int, int]:
    """More work than a limit allows for a while; returns the most calls in any window, and all calls."""
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        end = time.monotonic() + for_s
        wanted = int(count * for_s / per_s) + 3 * count
        asked = [asyncio.ensure_future(client.chat(f"p{i}", timeout=for_s + 30)) for i in range(wanted)]
        await asyncio.sleep(end - time.monotonic())
        calls = [call["mono"] for call in sim.calls()]
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    in_time = [at for at in calls if at <= calls[0] + for_s]
    return max_in_window(in_time, per_s)[0], len(in_time)


@pytest.mark.slow
async def test_short_window_holds_and_is_used(stack: Stack):
    """Two workers of one backend under pressure never exceed 20 calls in any 3 s, and use 90 % of them."""
    sim = stack.simulate("alpha", limits={"short": {"count": 20, "per_s": 3.0}, "concurrency": 50})
    stack.start(workers=2)

    most, calls = await pressure(stack, sim, count=20, per_s=3.0, for_s=15.0)

    assert most <= 20
    assert calls >= 0.9 * 20 * 5


@pytest.mark.slow
async def test_minute_window_holds_and_is_used(stack: Stack):
    """Two workers with rpm = 60 under three minutes of pressure: at most 60 in any minute, at least 171 in all."""
    sim = stack.simulate("alpha", limits={"rpm": 60, "concurrency": 50})
    stack.start(workers=2)

    most, calls = await pressure(stack, sim, count=60, per_s=60.0, for_s=180.0)

    assert most <= 60
    assert calls >= 171


async def test_failed_call_goes_to_the_next_backend(stack: Stack):
    """A call that fails at the first backend of the route is answered by the next, without the caller noticing."""
    first = stack.simulate("alpha", {"fail": [503] * 5})
    second = stack.simulate("beta")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = [await client.chat(f"q{i}", timeout=20) for i in range(5)]

    assert [reply.backend for reply in replies] == ["beta"] * 5
    assert {reply.attempts for reply in replies} == {2}
    assert (len(first.calls()), len(second.calls())) == (5, 5)


async def test_last_backend_is_retried(stack: Stack):
    """On the last backend of the route a failed call is made again after 1 s and 2 s."""
    sim = stack.simulate("alpha", {"fail": [503, 500, "ok"]})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        reply = await client.chat("again", timeout=30)

    at = [call["mono"] for call in sim.calls()]
    assert reply.text.startswith(echo("again"))
    assert reply.attempts == 3
    assert at[1] - at[0] >= 1.0
    assert at[2] - at[1] >= 2.0


async def test_used_up_budget_moves_calls_on(stack: Stack):
    """Requests beyond the first backend's budget do not wait for it to the deadline: the next of the route answers."""
    first = stack.simulate("alpha", limits={"rpm": 5, "concurrency": 8})
    second = stack.simulate("beta", limits={"rpm": 60, "concurrency": 8})
    stack.start(coordinators=2)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = await asyncio.gather(*(client.chat(f"q{i}", timeout=20) for i in range(28)))

    assert [reply.text.startswith(echo(f"q{i}")) for i, reply in enumerate(replies)] == [True] * 28
    assert len(first.calls()) <= 5
    assert len(first.calls()) + len(second.calls()) == 28


@pytest.mark.slow
async def test_moved_calls_come_back_from_a_drier_backend(stack: Stack):
    """Calls that moved on to a backend with even less budget go back to where they are served sooner."""
    stack.simulate("alpha", limits={"short": {"count": 2, "per_s": 2.0}, "concurrency": 8})
    stack.simulate("beta", limits={"long": {"count": 1, "per_s": 120.0}, "concurrency": 8})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = await asyncio.gather(*(client.chat(f"q{i}", timeout=30) for i in range(10)))

    assert len(replies) == 10


@pytest.mark.slow
async def test_busy_backend_moves_calls_on(stack: Stack):
    """Requests held behind the slow calls of a busy backend go to an idle one of their route."""
    stack.simulate("alpha", {"latency": {"base_s": 6.0}}, concurrency=1)
    stack.simulate("beta")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = await asyncio.gather(*(client.chat(f"q{i}", timeout=30) for i in range(10)))

    assert sorted(reply.backend for reply in replies) == ["alpha"] + ["beta"] * 9


async def test_hopeless_call_ends_with_its_error(stack: Stack):
    """A call that the backend refuses for good ends at once with a typed error, for everybody who waits."""
    stack.simulate("alpha", {"latency": {"base_s": 0.2}, "fail": [400]})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        results = await client.chat_many(["bad"] * 5, timeout=20)

    assert {type(result).__name__ for result in results} == {"InvalidRequest"}


@pytest.mark.slow
async def test_stopping_a_worker_loses_nothing(stack: Stack):
    """SIGTERM to a worker under load: it hands back what it did not begin, finishes the rest, and leaves with 0."""
    sim = stack.simulate("alpha", {"latency": {"base_s": 0.1}}, concurrency=4)
    stack.start(workers=2)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = [asyncio.ensure_future(client.chat(f"q{i}", timeout=60)) for i in range(100)]
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) > 5, "calls")
        code = await asyncio.to_thread(next(r for r in stack.running if r.name.startswith("worker")).stop)
        replies = await asyncio.gather(*asked)

    assert code == 0
    assert len(replies) == 100
    assert len(sim.calls()) == 100


async def test_cancelled_request_is_not_called(stack: Stack):
    """A request cancelled while it waits for budget is never called."""
    sim = stack.simulate("alpha", limits={"few": {"count": 1, "per_s": 4.0}})
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        await client.chat("first", timeout=20)
        waiting = asyncio.ensure_future(client.chat("cancelled", timeout=20))
        after = asyncio.ensure_future(client.chat("after", timeout=20))
        await asyncio.sleep(0.3)
        waiting.cancel()
        await after
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert {call["question"] for call in sim.calls()} == {echo(p).removeprefix("echo:") for p in ("first", "after")}


async def test_cache_policies(stack: Stack):
    """`refresh` calls and stores, `off` calls and does not store, a namespace and an agent's scope are their own."""
    sim = stack.simulate("alpha")
    stack.start()
    async with AsyncExitStack() as pool:
        one, other = await clients(stack, pool, 2)
        sources = [
            (await one.chat("q", cache="off")).source,
            (await one.chat("q")).source,
            (await other.chat("q")).source,
            (await other.chat("q", cache="refresh")).source,
            (await one.chat("q", namespace="mine")).source,
            (await one.chat("q", scope="agent")).source,
            (await other.chat("q", scope="agent")).source,
            (await one.chat("q", temperature=1)).source,
            (await one.chat("q", temperature=1.0)).source,
            (await one.chat("q", ttl=0, seed=1)).source,
            (await one.chat("q", seed=1)).source,
        ]

    assert sources == [
        "backend",
        "backend",
        "cache",
        "backend",
        "backend",
        "backend",
        "backend",
        "backend",
        "cache",
        "backend",
        "backend",
    ]
    assert len(sim.calls()) == 9


async def test_incomplete_answers_are_not_cached(stack: Stack):
    """An answer that was cut at its length limit is delivered, and the next request calls again."""
    sim = stack.simulate("alpha")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        replies = [await client.chat("long story", max_tokens=1) for _ in range(2)]

    assert [reply.result["choices"][0]["finish_reason"] for reply in replies] == ["length", "length"]
    assert len(sim.calls()) == 2


async def test_anthropic_backend(stack: Stack):
    """A backend that speaks Anthropic's protocol answers with the same kind of reply."""
    stack.simulate("claude", {"headers": "anthropic"}, api="anthropic")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        reply = await client.chat("hello", system="be brief", timeout=20)

    assert reply.text.startswith(echo("hello"))
    assert reply.result["object"] == "chat.completion"
    assert reply.usage is not None
    assert reply.usage.input_tokens > 0


async def test_embeddings(stack: Stack):
    """Embeddings go the same way, are cached, and come back in the order of the texts."""
    stack.simulate("alpha")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        first = await client.embed(["one", "two"], timeout=20)
        second = await client.embed(["one", "two"], timeout=20)

    assert len(first.embeddings) == 2
    assert second.source == "cache"
    assert second.embeddings == first.embeddings


async def test_work_waits_for_a_worker(stack: Stack):
    """A request for a configured backend whose worker is down waits, and is answered when the worker is back."""
    stack.simulate("alpha")
    stack.configure()
    stack.ready(stack.coordinator())
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = asyncio.ensure_future(client.chat("patience", timeout=30))
        await asyncio.sleep(0.5)
        assert not asked.done()
        stack.worker("alpha")
        reply = await asked

    assert reply.text.startswith(echo("patience"))


async def test_unreachable_model_is_a_typed_error(stack: Stack):
    """A model that nobody has is told at once, with the nearest name."""
    stack.simulate("alpha")
    stack.start()
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        with pytest.raises(OptimizerError, match="alpha") as caught:
            await client.chat("x", model="alpa", timeout=10)

    assert caught.value.code == "unknown_model"
