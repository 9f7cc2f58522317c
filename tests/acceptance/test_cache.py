"""`optimizer cache` on real processes: what is stored is seen, and what is flushed is not answered with any more."""

import asyncio
import json
import subprocess
import sys

import pytest
import redis
from tests.support.tap import Tap

from optimizer_client import AsyncOptimizer

pytestmark = pytest.mark.slow


def cache(stack, *arguments):
    """Run the command; returns its exit code, output and errors."""
    command = [sys.executable, "-m", "optimizer_ops", "cache", *arguments]
    ended = subprocess.run(command, env=stack.environment(), capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def as_json(stack, *arguments):
    """What the command prints with `--json`."""
    code, output, errors = cache(stack, *arguments, "--json")
    assert code == 0, errors
    return json.loads(output)


async def test_the_day_of_an_operator(stack):
    """Answers are counted, found, looked into and flushed by namespace; the others are still hits; it is told."""
    stack.simulate("alpha")
    stack.start(coordinators=2)
    async with (
        AsyncOptimizer("quality", url=stack.amqp_url, prefix=stack.prefix) as quality,
        AsyncOptimizer("planner", url=stack.amqp_url, prefix=stack.prefix) as planner,
    ):

        async def ask():
            usual = [await quality.chat("the usual", task="code"), await planner.chat("another", task="long")]
            return [*usual, await planner.chat("the usual", task="code", namespace="draft")]

        first = [reply.source for reply in await ask()]
        stats = await asyncio.to_thread(as_json, stack, "stats")
        listed = await asyncio.to_thread(as_json, stack, "inspect", "--agent", "planner")
        one = next(entry for entry in listed["entries"] if entry["namespace"] == "draft")
        known = await asyncio.to_thread(cache, stack, "inspect", one["fingerprint"][:12])
        text = await asyncio.to_thread(cache, stack, "inspect", one["fingerprint"], "--text")
        counted = await asyncio.to_thread(as_json, stack, "flush", "--namespace", "draft", "--dry-run")
        hits = [reply.source for reply in await ask()]
        with Tap(stack.amqp_url, stack.prefix) as tap:
            flushed = await asyncio.to_thread(as_json, stack, "flush", "--namespace", "draft", "--yes")
            told = tap.event("optimizer.cache.flushed")
        again = [reply.source for reply in await ask()]
        gone = await asyncio.to_thread(as_json, stack, "flush", "--all", "--yes")
        missing = await asyncio.to_thread(cache, stack, "inspect", one["fingerprint"])

    assert first == ["backend"] * 3
    assert hits == ["cache"] * 3
    assert (stats["answers"], stats["exact"]) == (3, True)
    assert {part["name"]: part["answers"] for part in stats["by"]["agent"]} == {"planner": 2, "quality": 1}
    assert listed["of"] == 2
    assert "echo:" not in known[1]
    assert "echo:" in text[1]
    assert counted["answers"] == flushed["answers"] == 1
    assert "namespace draft" in told.fields["message"]
    assert again == ["cache", "cache", "backend"]
    assert gone["answers"] == 3
    assert missing[0] == 1
    assert "No answer is stored under" in missing[2]


async def test_a_call_on_its_way(stack):
    """Who waited is answered, also who joined during the flush; afterwards the question is called for again."""
    alpha = stack.simulate("alpha", {"latency": {"base_s": 15.0}})
    stack.start(coordinators=2)
    async with (
        AsyncOptimizer("one", url=stack.amqp_url, prefix=stack.prefix) as one,
        AsyncOptimizer("two", url=stack.amqp_url, prefix=stack.prefix) as two,
    ):
        asked = asyncio.ensure_future(one.chat("slowly", timeout=60))
        while not alpha.calls():
            await asyncio.sleep(0.02)
        flushing = asyncio.ensure_future(asyncio.to_thread(as_json, stack, "flush", "--all", "--yes"))
        with redis.Redis.from_url(stack.redis_url) as client:
            while not client.exists(f"{stack.prefix}:flushed"):
                await asyncio.sleep(0.02)
        assert not asked.done()
        joined = asyncio.ensure_future(two.chat("slowly", timeout=60))
        flushed, first, second = await asyncio.gather(flushing, asked, joined)
        alpha.control(latency={"base_s": 0.0})
        third = await two.chat("slowly", timeout=30)
        fourth = await one.chat("slowly", timeout=30)

    assert flushed["answers"] == 0
    assert [first.source, second.source] == ["backend", "collapsed"]
    assert [third.source, fourth.source] == ["backend", "cache"]
    assert len(alpha.calls()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("flush",), 2, "Say which answers"),
        (("flush", "--all", "--task", "code"), 2, "not both"),
        (("flush", "--task", "cooking"), 2, "no task 'cooking'"),
        (("flush", "--older-than", "long"), 2, "is no age"),
        (("flush", "--fingerprint", "*"), 2, "A fingerprint is"),
        (("flush", "--all"), 2, "add --yes"),
        (("inspect", "--text"), 2, "give its fingerprint"),
    ],
)
def test_what_is_wrong_is_said(stack, arguments, code, word):
    """A command that makes no sense leaves with 2 and says why; without a terminal it does not ask."""
    stack.configure()

    ended = cache(stack, *arguments)

    assert ended[0] == code
    assert word in " ".join(ended[2].replace("│", " ").split())


@pytest.mark.parametrize("arguments", [("stats",), ("inspect",), ("flush", "--all", "--yes")])
def test_redis_is_away(stack, arguments):
    """Without Redis the command leaves with 69 and one sentence."""
    stack.redis_url = "redis://user:hidden-word@127.0.0.1:1/0"
    stack.configure()

    code, output, errors = cache(stack, *arguments)

    assert (code, output) == (69, "")
    assert errors.count("\n") == 1
    assert "hidden-word" not in errors
