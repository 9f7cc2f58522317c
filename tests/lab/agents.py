"""Both clients for the laboratory, to be asked in one way, and a count of what they really sent."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import pika
from tests.lab.laboratory import Laboratory, metric

from optimizer_client import AsyncOptimizer, Optimizer, Reply

CONNECTED_S = 20.0
KINDS = ("asyncio", "blocking")


class BlockingAgent:
    """The blocking client, asked from a loop."""

    def __init__(self, agent: str, **more: Any) -> None:
        self.agent = agent
        self.client = Optimizer(agent, **more)

    async def __aenter__(self) -> Self:
        self.client.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.client.close)

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self.client.connected

    async def chat(self, prompt: str, **options: Any) -> Reply:
        """Ask without keeping the loop from its work."""
        return await asyncio.wrap_future(self.client.chat_future(prompt, **options))


Agent = AsyncOptimizer | BlockingAgent


async def agent(lab: Laboratory, kind: str, url: str, *, name: str | None = None, **more: Any) -> Any:
    """A connected agent with the client of this kind at this URL; it is closed with the laboratory."""
    made = AsyncOptimizer if kind == "asyncio" else BlockingAgent
    client = await lab.pool.enter_async_context(made(name or kind, url=url, prefix=lab.stack.prefix, **more))
    async with asyncio.timeout(CONNECTED_S):
        while not client.connected:
            await asyncio.sleep(0.01)
    return client


@dataclass(frozen=True)
class Copy:
    """One copy of a request, as a client published it."""

    id: str
    reply_to: str
    app_id: str


class Copies:
    """A second queue behind the exchange of requests: what clients published, copy by copy."""

    def __init__(self, lab: Laboratory) -> None:
        self._url = lab.amqp_url
        self._exchange = lab.names.requests
        self._queue = f"{lab.stack.prefix}.lab.copies"
        self._seen: list[Copy] = []

    async def watch(self, pool: AsyncExitStack) -> Self:
        """Begin to look; the queue goes with the pool."""
        await asyncio.to_thread(self._declare)
        pool.push_async_callback(asyncio.to_thread, self._delete)
        return self

    async def seen(self) -> list[Copy]:
        """The copies that were published until now; cancellations are none."""
        await asyncio.to_thread(self._drain)
        return self._seen

    async def of_each(self) -> Counter[str]:
        """How many copies of each request were published until now."""
        return Counter(copy.id for copy in await self.seen())

    async def reply_queue(self, agent: str) -> str:
        """The queue to which an agent wants its replies."""
        return next(copy.reply_to for copy in reversed(await self.seen()) if copy.app_id == agent)

    def _declare(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            channel.queue_declare(self._queue, durable=True)
            channel.queue_bind(self._queue, self._exchange, self._exchange)

    def _drain(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            while (got := channel.basic_get(self._queue, auto_ack=True))[0] is not None:
                properties = got[1]
                if properties.type == "optimizer.request.v1":
                    self._seen.append(Copy(properties.message_id, properties.reply_to, properties.app_id))

    def _delete(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            connection.channel().queue_delete(self._queue)


def counted_by_coordinators(lab: Laboratory, result: str) -> int:
    """How many requests the coordinators saw with this result: "led", "joined", "resubmitted", "known", …"""
    name = "optimizer_coordinator_requests_total"
    return round(sum(metric(each, name, label=f'"{result}"') for each in lab.of("coordinator")))


async def settled(lab: Laboratory, timeout_s: float = 15.0) -> None:
    """Wait until no worker holds a call: copies that were delivered again are looked at before they are acked."""
    await lab.until(lambda: not lab.held(), "the end of what workers hold", timeout_s)
