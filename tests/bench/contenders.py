"""Ways for a fleet of agents to reach one backend: directly, through the optimizer, and through programs of others.

Agents of every way but the optimizer's are the OpenAI SDK as it comes, with the retries that it makes by itself.
"""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import openai
from tests.support.stack import Stack, wait_until

from optimizer_client import AsyncOptimizer
from optimizer_ops.services.processes import free_port

MODEL = "sim-model"
START_S = 90.0

Ask = Callable[[int, str], Awaitable[str]]
"""Agent number and prompt in, the answer's text out; any exception is a request without an answer."""


@dataclass(frozen=True)
class Scene:
    """What a contender has to work with."""

    stack: Stack
    backend_url: str
    agents: int
    limit: int
    deadline_s: float


Contender = Callable[[Scene], AsyncIterator[Ask]]


@asynccontextmanager
async def direct(scene: Scene) -> AsyncIterator[Ask]:
    """Every agent calls the backend itself."""
    async with AsyncExitStack() as pool:
        yield await _sdk(scene, pool, f"{scene.backend_url}/v1")


@asynccontextmanager
async def optimizer(scene: Scene) -> AsyncIterator[Ask]:
    """Every agent asks the optimizer: two coordinators and two workers, already running."""
    stack = scene.stack
    async with AsyncExitStack() as pool:
        clients = [
            await pool.enter_async_context(AsyncOptimizer(f"agent-{i}", url=stack.amqp_url, prefix=stack.prefix))
            for i in range(scene.agents)
        ]

        async def ask(agent: int, prompt: str) -> str:
            return (await clients[agent].chat(prompt, timeout=scene.deadline_s)).text or ""

        yield ask


@asynccontextmanager
async def litellm(scene: Scene) -> AsyncIterator[Ask]:
    """Every agent asks LiteLLM's proxy, which knows the backend's limit per minute and retries."""
    params = {"model": f"openai/{MODEL}", "api_base": f"{scene.backend_url}/v1", "api_key": "k", "rpm": scene.limit}
    config = scene.stack.folder / "litellm.yaml"
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": params}],
        "router_settings": {"num_retries": 3, "timeout": scene.deadline_s},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML.
    port, key = free_port(), f"sk-{uuid.uuid4().hex}"
    program = _program("litellm")
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    async with AsyncExitStack() as pool:
        pool.enter_context(_Serving(scene.stack.folder, command, f"http://127.0.0.1:{port}/health/liveliness", key))
        yield await _sdk(scene, pool, f"http://127.0.0.1:{port}/v1", key)


@asynccontextmanager
async def hivemind(scene: Scene) -> AsyncIterator[Ask]:
    """Every agent asks hivemind-scheduler's proxy, with the concurrency that it takes for OpenAI."""
    port = free_port()
    command = [_program("hivemind-proxy"), "--host", "127.0.0.1", "--port", str(port), "--upstream", scene.backend_url]
    command += ["--max-concurrency", "10", "--db", str(scene.stack.folder / "hivemind.db")]
    async with AsyncExitStack() as pool:
        pool.enter_context(_Serving(scene.stack.folder, command, f"http://127.0.0.1:{port}/"))
        yield await _sdk(scene, pool, f"http://127.0.0.1:{port}/v1")


CONTENDERS = {
    "direct calls": direct,
    "LiteLLM's proxy": litellm,
    "hivemind-scheduler": hivemind,
    "the optimizer": optimizer,
}
PROGRAMS = {"LiteLLM's proxy": "litellm", "hivemind-scheduler": "hivemind-proxy"}


def missing(contender: str) -> str | None:
    """A sentence about why this contender cannot be measured here."""
    program = PROGRAMS.get(contender)
    if program is None or _program(program):
        return None
    return f"{contender} is not measured: there is no {program} on the PATH, nor named by {_variable(program)}."


def _variable(program: str) -> str:
    return f"OPTIMIZER_BENCH_{program.replace('-', '_').upper()}"


def _program(name: str) -> str:
    return os.environ.get(_variable(name)) or shutil.which(name) or ""


async def _sdk(scene: Scene, pool: AsyncExitStack, base_url: str, key: str = "k") -> Ask:
    clients = [
        await pool.enter_async_context(openai.AsyncOpenAI(base_url=base_url, api_key=key, timeout=scene.deadline_s))
        for _ in range(scene.agents)
    ]

    async def ask(agent: int, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        answer = await clients[agent].chat.completions.create(model=MODEL, messages=messages)
        return answer.choices[0].message.content or ""

    return ask


class _Serving:
    """A program of others, from its start until it answers HTTP, to its end."""

    def __init__(self, folder: Path, command: list[str], url: str, key: str = "") -> None:
        self._folder, self._command, self._url, self._key = folder, command, url, key
        self._output = folder / f"{Path(command[0]).name}.log"

    def __enter__(self) -> None:
        ours = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": self._key, "NO_PROXY": "127.0.0.1"}
        with self._output.open("wb") as sink:
            self._process = subprocess.Popen(
                self._command,
                env=os.environ | ours,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        wait_until(self._answers, f"{self._command[0]} ({self._output})", START_S)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self._process.kill()
        self._process.wait(10)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"{self._command[0]} ended:\n{self._output.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(self._url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
