"""The simulator as a process: it says where it listens, ends on SIGTERM, and its log survives kill -9."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.support import judge

OPS = Path(__file__).parents[3] / "ops"


@contextlib.asynccontextmanager
async def process(*flags):
    """A simulator process and the lines in which it says where it listens."""
    command = [sys.executable, "-m", "optimizer_ops.simulator", "--port", "0", *flags]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(OPS), os.environ.get("PYTHONPATH", "")])}
    child = await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE)
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


async def announced(child):
    """The next announcement."""
    return json.loads(await asyncio.wait_for(child.stdout.readline(), 20))


def chat(text):
    """The body of a chat request."""
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


async def test_sigterm_ends_it_cleanly(tmp_path):
    """Several backends of one file listen, and a SIGTERM ends them with code 0."""
    spec = tmp_path / "spec.json"
    spec.write_text('[{"name": "a"}, {"name": "b", "fail": ["hang"]}]')

    async with process("--spec", str(spec)) as child:
        first, second = await announced(child), await announced(child)
        async with aiohttp.ClientSession() as http:
            async with http.post(first["url"] + "/v1/chat/completions", json=chat("x")) as response:
                assert response.status == 200
            hanging = asyncio.ensure_future(http.post(second["url"] + "/v1/chat/completions", json=chat("x")))
            await asyncio.sleep(0)
            child.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(child.wait(), 10) == 0
            with pytest.raises(aiohttp.ClientConnectionError):
                await hanging

    assert [first["name"], second["name"]] == ["a", "b"]


async def test_kill_9_leaves_a_true_log(tmp_path):
    """Requests answered and requests in flight are both in the file of a killed process, and a restart appends."""
    log = tmp_path / "log.jsonl"
    flags = ["--name", "n", "--log", str(log), "--fail", "200,hang"]

    async with process(*flags) as child, aiohttp.ClientSession() as http:
        url = (await announced(child))["url"] + "/v1/chat/completions"
        async with http.post(url, json=chat("answered")):
            pass
        hanging = asyncio.ensure_future(http.post(url, json=chat("hanging")))
        async with asyncio.timeout(10):
            while len(log.read_text().splitlines()) < 3:
                await asyncio.sleep(0.005)
        child.kill()
        await child.wait()
        with pytest.raises(aiohttp.ClientConnectionError):
            await hanging
    open_calls = judge.read_log(log.read_text().splitlines())
    async with process(*flags) as child, aiohttp.ClientSession() as http:
        url = (await announced(child))["url"] + "/v1/chat/completions"
        async with http.post(url, json=chat("later")):
            pass

    assert [call.status for call in open_calls] == [200, None]
    assert [call.end is None for call in judge.read_log(log.read_text().splitlines())] == [False, False, False]


async def test_a_taken_port_is_one_sentence():
    """A port that is in use ends the process with code 1."""
    async with process() as first:
        port = (await announced(first))["url"].rpartition(":")[2]
        async with process("--port", port) as second:
            assert await asyncio.wait_for(second.wait(), 20) == 1
