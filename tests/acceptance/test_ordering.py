"""Requests with the same ordering key, on real processes: one after another, in order, whatever dies.

The judge is the backend's own log of requests: what started when, and what overlapped.
"""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest
from tests.acceptance.test_awkward_moments import forget_everything
from tests.acceptance.test_fleet import worker_that_calls
from tests.support.fleet import clients, echo
from tests.support.judge import max_concurrency, read_log
from tests.support.stack import Stack, wait_until

from optimizer_client import Cancelled, Optimizer, OptimizerError

KEY = "document 7"


def calls(sim, only=None):
    """What reached the backend (of some questions), in the order of the starts; none may overlap another."""
    found = [call for call in read_log(sim.log.read_text().splitlines()) if only is None or call.question in only]
    for one, other in pairwise(found):
        assert one.end is not None, "a call began while another was open"
        assert one.end <= other.start, "two calls of one ordering key overlap"
    return [call.question for call in found]


def named(prompts):
    """The prompts as the request log names them."""
    return [echo(prompt).removeprefix("echo:") for prompt in prompts]


async def ask_all(client, prompts, **more):
    """Ask them at once, in this order; an answer or an error for each."""
    return await asyncio.gather(
        *(client.chat(prompt, **{"ordering_key": KEY, "timeout": 60, **more}) for prompt in prompts),
        return_exceptions=True,
    )


def slow(stack: Stack, base_s=0.1, coordinators=2, **more):
    """Two coordinators, two workers, and a backend that could serve many at once, but takes its time."""
    sim = stack.simulate("alpha", {"latency": {"base_s": base_s}}, concurrency=16, **more)
    stack.start(coordinators=coordinators, workers=2)
    return sim


async def test_twenty_at_once_run_in_order(stack: Stack):
    """Twenty keyed requests published at once run one after another, in the order in which they were asked."""
    sim = slow(stack)
    prompts = [f"question {i}" for i in range(20)]
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)

        replies = await ask_all(client, prompts)

    assert [reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True)] == [True] * 20
    assert calls(sim) == named(prompts)


async def test_the_blocking_client_keeps_the_order(stack: Stack):
    """Futures of the blocking client run in the order in which they were asked."""
    sim = slow(stack)
    prompts = [f"question {i}" for i in range(10)]

    def ask():
        with Optimizer("blocking", url=stack.amqp_url, prefix=stack.prefix) as optimizer:
            futures = [optimizer.chat_future(prompt, ordering_key=KEY, timeout=60) for prompt in prompts]
            return [future.result() for future in futures]

    replies = await asyncio.to_thread(ask)

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    assert calls(sim) == named(prompts)


async def test_three_clients_share_a_key(stack: Stack):
    """Requests of one key from three clients never overlap, each client's are in order, and other keys do not wait."""
    sim = slow(stack)
    prompts = {name: [f"question {i} of {name}" for i in range(7)] for name in "xyz"}
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 3)

        await asyncio.gather(*(ask_all(client, prompts[name]) for client, name in zip(fleet, "xyz", strict=True)))
        ran = calls(sim)
        await asyncio.gather(*(fleet[0].chat(f"free {i}", ordering_key=f"key {i}") for i in range(12)))

    assert len(ran) == 21
    for own in prompts.values():
        assert [name for name in ran if name in named(own)] == named(own)
    free = read_log(sim.log.read_text().splitlines())[21:]
    assert max_concurrency([call.start for call in free], [call.end for call in free])[0] > 1


async def test_a_newer_one_supersedes_those_that_wait(stack: Stack):
    """Of five published while the first runs only the first and the last are called; the others get `Cancelled`."""
    sim = slow(stack, base_s=1.0)
    prompts = [f"question {i}" for i in range(5)]
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        first = asyncio.ensure_future(client.chat(prompts[0], ordering_key=KEY, timeout=60))
        await asyncio.to_thread(wait_until, sim.calls, "the first call")

        *middle, last = await ask_all(client, prompts[1:], supersede=True)

        assert (await first).text.startswith(echo(prompts[0]))
    assert [type(each) for each in middle] == [Cancelled] * 3
    assert "newer request" in str(middle[0])
    assert last.text.startswith(echo(prompts[4]))
    assert calls(sim) == named([prompts[0], prompts[4]])


async def test_a_call_that_waits_at_its_worker_is_superseded(stack: Stack):
    """A call that was published but has not begun is withdrawn: it is never made, and the newer one takes its turn."""
    sim = stack.simulate("alpha", {"latency": {"base_s": 1.5}}, concurrency=1)
    stack.start(coordinators=2)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        busy = asyncio.ensure_future(client.chat("in the way", timeout=60))
        await asyncio.to_thread(wait_until, sim.calls, "the call in the way")
        older = asyncio.ensure_future(client.chat("older", ordering_key=KEY, timeout=60))
        await asyncio.sleep(0.5)

        newer = asyncio.ensure_future(client.chat("newer", ordering_key=KEY, timeout=60, supersede=True))
        (told,) = await asyncio.gather(older, return_exceptions=True)
        early = not busy.done()
        await asyncio.gather(busy, newer)

    assert isinstance(told, Cancelled)
    assert early
    assert calls(sim) == named(["in the way", "newer"])


async def test_answers_from_the_cache_need_no_turn(stack: Stack):
    """Keyed requests whose answer is known come at once while another runs, and delay none that comes after them."""
    sim = slow(stack, base_s=0.3)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        await client.chat("known", timeout=60)
        running = asyncio.ensure_future(client.chat("runs", ordering_key=KEY, timeout=60))
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) == 2, "the call")

        started = time.monotonic()
        *known, _ = await ask_all(client, ["known"] * 5 + ["last"])
        took_s = time.monotonic() - started
        await running

    assert {reply.source for reply in known} == {"cache"}
    assert calls(sim) == named(["known", "runs", "last"])
    assert took_s < 2.0


async def test_a_cancelled_one_lets_the_next_go(stack: Stack):
    """A request that is cancelled while it waits, or whose deadline passes, does not hold up the next of its key."""
    sim = slow(stack, base_s=1.0)
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        first, cancelled, late, last = (
            asyncio.ensure_future(client.chat(name, ordering_key=KEY, timeout=timeout_s, request_id=name))
            for name, timeout_s in [("first", 60), ("cancelled", 60), ("late", 0.9), ("last", 60)]
        )
        await asyncio.to_thread(wait_until, sim.calls, "the first call")
        await client.cancel("cancelled")

        told = await asyncio.gather(first, cancelled, late, last, return_exceptions=True)

    assert [type(each).__name__ for each in told] == ["Reply", "Cancelled", "DeadlineExceeded", "Reply"]
    assert calls(sim) == named(["first", "last"])


async def test_coordinator_killed_with_waiting_requests(stack: Stack):
    """A coordinator that holds waiting requests is killed by kill -9: all are answered, in order, none overlaps."""
    sim = slow(stack)
    prompts = {name: [f"question {i} of {name}" for i in range(12)] for name in "xyz"}
    async with AsyncExitStack() as pool:
        fleet = await clients(stack, pool, 3)
        asked = asyncio.gather(*(ask_all(client, prompts[name]) for client, name in zip(fleet, "xyz", strict=True)))
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) >= 5, "five calls")
        next(running for running in stack.running if running.name == "coordinator").kill()

        replies = await asked

    assert not [each for answers in replies for each in answers if isinstance(each, OptimizerError)]
    ran = calls(sim)
    assert sorted(ran) == sorted(named(prompt for own in prompts.values() for prompt in own))
    for own in prompts.values():
        assert [name for name in ran if name in named(own)] == named(own)


async def test_worker_killed_in_its_turn(stack: Stack):
    """The worker of a running call is killed by kill -9: the turn goes to the call's redelivery, then to the next."""
    sim = slow(stack, base_s=1.0)
    prompts = [f"question {i}" for i in range(3)]
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = asyncio.ensure_future(ask_all(client, prompts))
        await asyncio.to_thread(wait_until, sim.calls, "the first call")
        await asyncio.to_thread(worker_that_calls(stack, sim).kill)

        replies = await asked

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    first, *others = calls(sim)
    assert [first, *others] in (named(prompts), named([prompts[0], *prompts]))


async def test_redis_loses_everything_in_between(stack: Stack, private_redis):
    """Redis forgets all turns while one runs and others wait: none overlaps, the order is kept, all are answered."""
    stack.redis_url = private_redis.url
    sim = slow(stack, base_s=0.3)
    prompts = [f"question {i}" for i in range(8)]
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = asyncio.ensure_future(ask_all(client, prompts))
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) == 3, "the third call")
        await asyncio.sleep(0.1)
        forget_everything(private_redis.url)

        replies = await asked

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    assert calls(sim) == named(prompts)


async def test_redis_is_away_for_a_moment(stack: Stack, private_redis):
    """Two seconds without Redis in mid-run break no order, and let no call overlap another."""
    stack.redis_url = private_redis.url
    sim = slow(stack, base_s=0.3)
    prompts = [f"question {i}" for i in range(8)]
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = asyncio.ensure_future(ask_all(client, prompts))
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) == 3, "the third call")
        private_redis.pause()
        await asyncio.sleep(2)
        private_redis.resume()

        replies = await asked

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    assert calls(sim) == named(prompts)


async def test_redis_stays_away(stack: Stack, private_redis):
    """Without Redis keyed requests are answered all the same, though they may run at the same time."""
    stack.redis_url = private_redis.url
    sim = slow(stack, base_s=0.2)
    prompts = [f"question {i}" for i in range(8)]
    async with AsyncExitStack() as pool:
        (client,) = await clients(stack, pool, 1)
        asked = asyncio.ensure_future(ask_all(client, prompts))
        await asyncio.to_thread(wait_until, lambda: len(sim.calls()) == 3, "the third call")
        private_redis.kill()

        replies = await asked

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))


@pytest.mark.slow
async def test_order_under_random_kills(stack: Stack):
    """Coordinators and workers killed by kill -9 at random for a minute: all are answered, no key's calls overlap."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    sim = slow(stack, base_s=0.2)
    prompts = {(client, key): [f"{i} of {client}, {key}" for i in range(40)] for client in "xyz" for key in "ab"}
    async with AsyncExitStack() as pool:
        fleet = dict(zip("xyz", await clients(stack, pool, 3), strict=True))
        asked = asyncio.gather(
            *(ask_all(fleet[c], own, ordering_key=key, timeout=300) for (c, key), own in prompts.items())
        )
        for _ in range(8):
            await asyncio.sleep(chance.uniform(2, 6))
            alive = [each for each in stack.running if each is not sim.running and each.process.poll() is None]
            victim = chance.choice(alive)
            victim.kill()
            started = stack.coordinator() if victim.name == "coordinator" else stack.worker("alpha")
            await asyncio.to_thread(stack.ready, started)

        replies = await asked

    assert not [each for answers in replies for each in answers if isinstance(each, OptimizerError)]
    for key in "ab":
        of_key = {c: named(own) for (c, k), own in prompts.items() if k == key}
        ran = calls(sim, only={name for own in of_key.values() for name in own})
        for own in of_key.values():
            assert list(dict.fromkeys(name for name in ran if name in own)) == own
