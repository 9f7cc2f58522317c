"""Ways for a fleet of agents to reach one backend: directly, through the optimizer, and through programs of others.

Agents of every way but the optimizer's are the OpenAI SDK as it comes, with the retries that it makes by itself.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import openai
from tests.bench import proxies
from tests.bench.backend import MODEL
from tests.support.stack import Stack

from optimizer_client import AsyncOptimizer

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
    running = proxies.litellm(scene.stack.folder, scene.backend_url, rpm=scene.limit, timeout_s=scene.deadline_s)
    async with AsyncExitStack() as pool:
        proxy = pool.enter_context(running)
        yield await _sdk(scene, pool, proxy.url, proxy.key)


@asynccontextmanager
async def hivemind(scene: Scene) -> AsyncIterator[Ask]:
    """Every agent asks hivemind-scheduler's proxy, with the concurrency that it takes for OpenAI."""
    running = proxies.hivemind(scene.stack.folder, scene.backend_url, concurrency=10)
    async with AsyncExitStack() as pool:
        yield await _sdk(scene, pool, pool.enter_context(running).url)


CONTENDERS = {
    "direct calls": direct,
    proxies.LITELLM: litellm,
    proxies.HIVEMIND: hivemind,
    "the optimizer": optimizer,
}


def missing(contender: str) -> str | None:
    """A sentence about why this contender cannot be measured here."""
    return proxies.missing(contender) if contender in proxies.PROGRAMS else None


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
