"""A real language model through the whole line. Opt-in: `make model`, then `make test-model`."""

import asyncio
import json
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from tests.support.stack import Stack, wait_until

from optimizer_client import AsyncOptimizer

MODEL = Path(__file__).parents[2] / ".run" / "model"
pytestmark = pytest.mark.real_model


@pytest.fixture
def smollm(tmp_path: Path):
    """SmolLM2-135M-Instruct on the CPU behind an OpenAI-shaped server; yields its URL."""
    files = list(MODEL.rglob("*.gguf"))
    if not files:
        pytest.fail("There is no model: run make model first.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Path(__file__).parents[1] / "support" / "model_server.py"
    with (tmp_path / "model.log").open("wb") as log:
        process = subprocess.Popen(
            [MODEL / "venv" / "bin" / "python", server, files[0], str(port)], stdout=log, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url), "the model", 60)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def answers(url: str) -> bool:
    """Whether the model's server is up."""
    try:
        return served(url) == 0
    except OSError:
        return False


def served(url: str) -> int:
    """How many completions the model has made."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)["served"]


async def test_real_answer_hit_and_collapse(stack: Stack, smollm: str, capsys):
    """A real model answers through the whole line; the repeat is a cache hit, and two at once make one call."""
    stack.backends["smollm"] = {
        "api": "openai",
        "base_url": f"{smollm}/v1",
        "models": ["SmolLM2-135M-Instruct"],
        "kind": "local",
        "concurrency": 1,
    }
    stack.routes["default"] = ["smollm"]
    await asyncio.to_thread(stack.start, coordinators=2)
    async with AsyncOptimizer("poet", url=stack.amqp_url, prefix=stack.prefix) as optimizer:
        first = await optimizer.chat("Why is the sky blue?", max_tokens=40, timeout=120)
        hit = await optimizer.chat("Why is the sky blue?", max_tokens=40, timeout=120)
        pair = await asyncio.gather(*(optimizer.chat("What is rain?", max_tokens=40, timeout=120) for _ in range(2)))
    with capsys.disabled():
        for reply in (first, hit, *pair):
            print(f"\n{reply.source}: {reply.text!r} {reply.usage} {reply.timings}")

    assert len(first.text) > 20
    assert first.source == "backend"
    assert (hit.source, hit.text) == ("cache", first.text)
    assert sorted(reply.source for reply in pair) == ["backend", "collapsed"]
    assert pair[0].text == pair[1].text
    assert served(smollm) == 2
