"""The ways to ask: a deployment by our own client and by a bare one, and the backend itself."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Self

import aiohttp
from tests.bench.backend import MODEL
from tests.bench.bare import BareClient
from tests.bench.deployment import BACKENDS_MS, Deployment
from tests.bench.questions import ECHOED_CHARS

from optimizer_client import AsyncOptimizer

OURS, BARE, DIRECT = "our client", "bare client", "direct HTTP"
TIMEOUT_S = 60.0

Source = str
AskOnce = Callable[[str, str], Awaitable[Source]]
"""Prompt and backend in, where the answer came from out: backend, cache, collapsed. A wrong answer is an error."""


class WrongAnswer(Exception):
    """An error, or somebody else's answer."""


class Asking:
    """Our client and the bare one, both connected to a deployment."""

    def __init__(self, where: Deployment) -> None:
        stack, self._where = where.stack, where
        self._client = AsyncOptimizer("bench", url=stack.amqp_url, prefix=stack.prefix)
        self._bare = BareClient(stack.amqp_url, stack.prefix)
        where.queues.add(self._bare.replies)
        self.ways: dict[str, AskOnce] = {OURS: self.ours, BARE: self.bare}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as pool:
            await pool.enter_async_context(self._client)
            await pool.enter_async_context(self._bare)
            self._pool = pool.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.aclose()

    async def ours(self, prompt: str, backend: str = "fast") -> Source:
        self._where.asked += 1
        reply = await self._client.chat(prompt, model=backend, timeout=TIMEOUT_S)
        if reply.text != prompt[:ECHOED_CHARS]:
            raise WrongAnswer(reply)
        return reply.source

    async def bare(self, prompt: str, backend: str = "fast") -> Source:
        self._where.asked += 1
        reply = await self._bare.ask(prompt, backend)
        if not reply["ok"] or reply["result"]["choices"][0]["message"]["content"] != prompt[:ECHOED_CHARS]:
            raise WrongAnswer(reply)
        return reply.get("source", "backend")  # a field that has its default is left out


class Direct:
    """Calls of the backend itself, as plain as aiohttp makes them; or of a proxy with the same API."""

    def __init__(self, url: str, key: str = "k") -> None:
        self._url = url
        self._key = key

    async def __aenter__(self) -> Self:
        # Servers of others close what has been idle for 5 s, often in the moment in which it is used again.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
        self._http = aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {self._key}"})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def ask(self, prompt: str, backend: str = "fast") -> Source:
        path = f"/{BACKENDS_MS[backend]}/v1/chat/completions"
        return await self.post(f"{self._url}{path}", prompt)

    async def post(self, url: str, prompt: str) -> Source:
        """Ask for a chat completion at this URL."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
        async with self._http.post(url, json=body) as response:
            answer = await response.json()
            if response.status != 200 or answer["choices"][0]["message"]["content"] != prompt[:ECHOED_CHARS]:
                raise WrongAnswer(answer)
        return "backend"
