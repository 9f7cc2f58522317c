"""Agents for tests: connected clients, and work for them whose answers can be checked."""

import asyncio
from contextlib import AsyncExitStack

from tests.lab.history import echo
from tests.support.stack import Stack

from optimizer_client import AsyncOptimizer

__all__ = ["clients", "echo", "load"]


async def clients(stack: Stack, pool: AsyncExitStack, count: int, **more: float) -> list[AsyncOptimizer]:
    """Connected clients, each with its own connection; `more` are further arguments of each."""
    made = [
        await pool.enter_async_context(AsyncOptimizer(f"agent-{i}", url=stack.amqp_url, prefix=stack.prefix, **more))
        for i in range(count)
    ]
    for client in made:
        while not client.connected:
            await asyncio.sleep(0.01)
    return made


async def load(client: AsyncOptimizer, count: int, name: str, pause_s: float = 0.02) -> int:
    """Ask one by one, some of them the same as others'; returns how many right answers came."""
    right = 0
    for i in range(count):
        prompt = f"shared {i}" if i % 3 == 0 else f"{name} {i}"
        reply = await client.chat(prompt, timeout=60)
        right += reply.text.startswith(echo(prompt))
        await asyncio.sleep(pause_s)
    return right
