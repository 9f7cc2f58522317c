"""Requests with the same ordering key, on real processes: one after another, in order, whatever dies.

The judge is the backend's own log of requests: what started when, and what overlapped. The tests share a deployment;
each asks questions of its own with a key of its own.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from tests.acceptance.test_awkward_moments import forget_everything
from tests.acceptance.test_fleet import worker_that_calls
from tests.support.fleet import clients, echo
from tests.support.judge import max_concurrency
from tests.support.servers import PrivateRedis
from tests.support.services import missing
from tests.support.stack import Simulated, Stack, wait_until
from tests.support.tap import shared_stack

from optimizer_client import Cancelled, Optimizer, OptimizerError


@dataclass
class Line:
    """What one test has of the deployment: the backend, and names of its own."""

    stack: Stack
    redis: PrivateRedis
    sim: Simulated
    narrow: Simulated
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def prompts(self, count, of=""):
        """Questions that no other test asks."""
        return [self.prompt(f"question {i}{of}") for i in range(count)]

    def prompt(self, text):
        """The same, for one."""
        return f"{text} ({self.key})"

    def calls(self, prompts):
        """What reached the backend of these, in the order of the starts; none may overlap another."""
        only = set(named(prompts))
        found = [call for call in self.sim.judged() if call.question in only]
        for one, other in pairwise(found):
            assert one.end is not None, "a call began while another was open"
            assert one.end <= other.start, "two calls of one ordering key overlap"
        return [call.question for call in found]

    def begun(self, prompts):
        """How many of these have reached the backend."""
        only = set(named(prompts))
        return sum(call["question"] in only for call in self.sim.calls())

    async def until_begun(self, prompts, count=1):
        """Wait for that."""
        await asyncio.to_thread(wait_until, lambda: self.begun(prompts) >= count, f"{count} calls")

    async def ask_all(self, client, prompts, **more):
        """Ask them at once, in this order; an answer or an error for each."""
        return await asyncio.gather(
            *(client.chat(prompt, **{"ordering_key": self.key, "timeout": 60, **more}) for prompt in prompts),
            return_exceptions=True,
        )


def named(prompts):
    """The prompts as the request log names them."""
    return [echo(prompt).removeprefix("echo:") for prompt in prompts]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory, amqp_url) -> Iterator[tuple[Stack, PrivateRedis, Simulated, Simulated]]:
    """Two coordinators, two workers, and a backend that could serve many at once; `narrow` serves one, in a second."""
    if not PrivateRedis.installed():
        missing("redis-server", "PATH")
    with (
        PrivateRedis() as redis,
        shared_stack(tmp_path_factory.mktemp("ordering"), amqp_url, redis.url) as stack,
    ):
        sim = stack.simulate("alpha", concurrency=16)
        narrow = stack.simulate("narrow", {"latency": {"base_s": 1.0}}, concurrency=1)
        stack.routes["default"] = ["alpha"]
        stack.start(coordinators=2)
        stack.ready(stack.worker("alpha"))
        yield stack, redis, sim, narrow


@pytest.fixture
def line(deployment) -> Line:
    """The deployment, with names for one test."""
    return Line(*deployment)


def takes(line: Line, base_s: float) -> None:
    """From now on a call takes so long."""
    line.sim.control(latency={"base_s": base_s})


async def test_twenty_at_once_run_in_order(line):
    """Twenty keyed requests published at once run one after another, in the order in which they were asked."""
    takes(line, 0.05)
    prompts = line.prompts(20)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)

        replies = await line.ask_all(client, prompts)

    assert [reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True)] == [True] * 20
    assert line.calls(prompts) == named(prompts)


async def test_the_blocking_client_keeps_the_order(line):
    """Futures of the blocking client run in the order in which they were asked."""
    takes(line, 0.05)
    prompts = line.prompts(10)

    def ask():
        with Optimizer("blocking", url=line.stack.amqp_url, prefix=line.stack.prefix) as optimizer:
            futures = [optimizer.chat_future(prompt, ordering_key=line.key, timeout=60) for prompt in prompts]
            return [future.result() for future in futures]

    replies = await asyncio.to_thread(ask)

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    assert line.calls(prompts) == named(prompts)


async def test_three_clients_share_a_key(line):
    """Requests of one key from three clients never overlap, each client's are in order, and other keys do not wait."""
    takes(line, 0.1)
    prompts = {name: line.prompts(5, f" of {name}") for name in "xyz"}
    free = line.prompts(12, " of other keys")
    async with AsyncExitStack() as pool:
        fleet = await clients(line.stack, pool, 3)

        await asyncio.gather(*(line.ask_all(client, prompts[name]) for client, name in zip(fleet, "xyz", strict=True)))
        await asyncio.gather(*(fleet[0].chat(each, ordering_key=each) for each in free))

    ran = line.calls(each for own in prompts.values() for each in own)
    assert len(ran) == 15
    for own in prompts.values():
        assert [name for name in ran if name in named(own)] == named(own)
    others = [call for call in line.sim.judged() if call.question in named(free)]
    assert max_concurrency([call.start for call in others], [call.end for call in others])[0] > 1


async def test_a_newer_one_supersedes_those_that_wait(line):
    """Of five published while the first runs only the first and the last are called; the others get `Cancelled`."""
    takes(line, 1.0)
    prompts = line.prompts(5)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        first = asyncio.ensure_future(client.chat(prompts[0], ordering_key=line.key, timeout=60))
        await line.until_begun(prompts)
        takes(line, 0.05)

        *middle, last = await line.ask_all(client, prompts[1:], supersede=True)

        assert (await first).text.startswith(echo(prompts[0]))
    assert [type(each) for each in middle] == [Cancelled] * 3
    assert "newer request" in str(middle[0])
    assert last.text.startswith(echo(prompts[4]))
    assert line.calls(prompts) == named([prompts[0], prompts[4]])


async def test_a_call_that_waits_at_its_worker_is_superseded(line):
    """A call that was published but has not begun is withdrawn: it is never made, and the newer one takes its turn."""
    narrow = Line(line.stack, line.redis, line.narrow, line.narrow, line.key)
    in_the_way, older, newer = narrow.prompts(3)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        busy = asyncio.ensure_future(client.chat(in_the_way, model="narrow", timeout=60))
        await narrow.until_begun([in_the_way])
        waiting = asyncio.ensure_future(client.chat(older, ordering_key=line.key, model="narrow", timeout=60))
        await asyncio.sleep(0.5)

        after = client.chat(newer, ordering_key=line.key, model="narrow", timeout=60, supersede=True)
        after = asyncio.ensure_future(after)
        (told,) = await asyncio.gather(waiting, return_exceptions=True)
        early = not busy.done()
        await asyncio.gather(busy, after)

    assert isinstance(told, Cancelled)
    assert early
    assert narrow.calls([in_the_way, older, newer]) == named([in_the_way, newer])


async def test_answers_from_the_cache_need_no_turn(line):
    """Keyed requests whose answer is known come at once while another runs, and delay none that comes after them."""
    takes(line, 0.3)
    known, runs, last = line.prompts(3)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        await client.chat(known, timeout=60)
        running = asyncio.ensure_future(client.chat(runs, ordering_key=line.key, timeout=60))
        await line.until_begun([runs])

        started = time.monotonic()
        *replies, _ = await line.ask_all(client, [known] * 5 + [last])
        took_s = time.monotonic() - started
        await running

    assert {reply.source for reply in replies} == {"cache"}
    assert line.calls([known, runs, last]) == named([known, runs, last])
    assert took_s < 2.0


async def test_a_cancelled_one_lets_the_next_go(line):
    """A request that is cancelled while it waits, or whose deadline passes, does not hold up the next of its key."""
    takes(line, 1.0)
    prompts = line.prompts(4)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        first, cancelled, late, last = (
            asyncio.ensure_future(client.chat(prompt, ordering_key=line.key, timeout=timeout_s, request_id=prompt))
            for prompt, timeout_s in zip(prompts, [60, 60, 0.9, 60], strict=True)
        )
        await line.until_begun(prompts)
        await client.cancel(prompts[1])

        told = await asyncio.gather(first, cancelled, late, last, return_exceptions=True)

    assert [type(each).__name__ for each in told] == ["Reply", "Cancelled", "DeadlineExceeded", "Reply"]
    assert line.calls(prompts) == named([prompts[0], prompts[3]])


async def test_redis_loses_everything_in_between(line):
    """Redis forgets all turns while one runs and others wait: none overlaps, the order is kept, all are answered."""
    takes(line, 0.3)
    prompts = line.prompts(8)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        asked = asyncio.ensure_future(line.ask_all(client, prompts))
        await line.until_begun(prompts, 3)
        await asyncio.sleep(0.1)
        forget_everything(line.redis.url)

        replies = await asked

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    assert line.calls(prompts) == named(prompts)


@pytest.mark.slow
async def test_redis_is_away_for_a_moment(line):
    """Two seconds without Redis in mid-run break no order, and let no call overlap another."""
    takes(line, 0.3)
    prompts = line.prompts(8)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        asked = asyncio.ensure_future(line.ask_all(client, prompts))
        await line.until_begun(prompts, 3)
        line.redis.pause()
        await asyncio.sleep(2)
        line.redis.resume()

        replies = await asked

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    assert line.calls(prompts) == named(prompts)


@pytest.mark.slow
async def test_redis_stays_away(line):
    """Without Redis keyed requests are answered all the same, though they may run at the same time."""
    takes(line, 0.2)
    prompts = line.prompts(8)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        asked = asyncio.ensure_future(line.ask_all(client, prompts))
        await line.until_begun(prompts, 3)
        line.redis.kill()
        try:
            replies = await asked
        finally:
            line.redis.start()
            ours = [each for each in line.stack.running if each.name.startswith(("coordinator", "worker"))]
            await asyncio.to_thread(wait_until, lambda: not any(each.degraded() for each in ours), "Redis, at all")

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))


@pytest.mark.slow
async def test_worker_killed_in_its_turn(line):
    """The worker of a running call is killed by kill -9: the turn goes to the call's redelivery, then to the next."""
    takes(line, 0.8)
    prompts = line.prompts(3)
    async with AsyncExitStack() as pool:
        (client,) = await clients(line.stack, pool, 1)
        asked = asyncio.ensure_future(line.ask_all(client, prompts))
        await line.until_begun(prompts)
        await asyncio.to_thread(worker_that_calls(line.stack, line.sim).kill)

        replies = await asked

    assert all(reply.text.startswith(echo(prompt)) for prompt, reply in zip(prompts, replies, strict=True))
    first, *others = line.calls(prompts)
    assert [first, *others] in (named(prompts), named([prompts[0], *prompts]))


async def test_coordinator_killed_with_waiting_requests(line):
    """A coordinator that holds waiting requests is killed by kill -9: all are answered, in order, none overlaps."""
    takes(line, 0.1)
    prompts = {name: line.prompts(8, f" of {name}") for name in "xyz"}
    every = [each for own in prompts.values() for each in own]
    async with AsyncExitStack() as pool:
        fleet = await clients(line.stack, pool, 3)
        own = (line.ask_all(client, prompts[name]) for client, name in zip(fleet, "xyz", strict=True))
        asked = asyncio.gather(*own)
        await line.until_begun(every, 5)
        next(running for running in line.stack.running if running.name == "coordinator").kill()

        replies = await asked

    assert not [each for answers in replies for each in answers if isinstance(each, OptimizerError)]
    ran = line.calls(every)
    assert sorted(ran) == sorted(named(every))
    for prompt in prompts.values():
        assert [name for name in ran if name in named(prompt)] == named(prompt)


@pytest.mark.slow
async def test_order_under_random_kills(line):
    """Coordinators and workers killed by kill -9 at random for a minute: all are answered, no key's calls overlap."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    chance = random.Random(seed)
    takes(line, 0.2)
    stack, servers = line.stack, [each for each in line.stack.running if each.name.startswith("simulator")]
    prompts = {(client, key): line.prompts(40, f" of {client}, {key}") for client in "xyz" for key in "ab"}
    async with AsyncExitStack() as pool:
        fleet = dict(zip("xyz", await clients(stack, pool, 3), strict=True))
        asked = asyncio.gather(
            *(
                line.ask_all(fleet[c], own, ordering_key=f"{line.key} {key}", timeout=300)
                for (c, key), own in prompts.items()
            )
        )
        for _ in range(8):
            await asyncio.sleep(chance.uniform(2, 6))
            alive = [each for each in stack.running if each not in servers and each.process.poll() is None]
            victim = chance.choice(alive)
            victim.kill()
            started = stack.coordinator() if victim.name == "coordinator" else stack.worker(victim.name[7:])
            await asyncio.to_thread(stack.ready, started)

        replies = await asked

    assert not [each for answers in replies for each in answers if isinstance(each, OptimizerError)]
    for key in "ab":
        of_key = {c: own for (c, k), own in prompts.items() if k == key}
        ran = line.calls(each for own in of_key.values() for each in own)
        for own in of_key.values():
            assert list(dict.fromkeys(name for name in ran if name in named(own))) == named(own)
