"""A bare load generator: the message contract of `docs/` spoken directly, with nothing of the client around it.

It resubmits nothing, has no deadlines of its own and no confirms: what somebody would write to see how fast the
optimizer is without its client.
"""

import asyncio
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import aiormq
import msgpack
from aiormq.abc import DeliveredMessage

from optimizer_wire.topology import Names


class BareClient:
    """Asks over one connection, any number of requests at a time."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._requests = Names(prefix).requests
        self._user = urlsplit(url).username or "guest"
        self.replies = f"{prefix}.replies.{self._user}.bare-{uuid4().hex[:8]}"
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    async def __aenter__(self) -> Self:
        self._connection = await aiormq.connect(self._url)
        self._channel = await self._connection.channel(publisher_confirms=False)
        await self._channel.queue_declare(self.replies, durable=True, arguments={"x-expires": 600_000})
        await self._channel.basic_consume(self.replies, self._received, no_ack=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def ask(self, prompt: str, model: str) -> dict[str, Any]:
        """Send a request; returns the reply, whatever it says."""
        name = uuid4().hex
        request = {
            "v": 1,
            "id": name,
            "agent": "bench",
            "model": model,
            "params": {"messages": [{"role": "user", "content": prompt}]},
            "timeout_ms": 60_000,
        }
        properties = aiormq.spec.Basic.Properties(
            content_type="application/msgpack",
            message_type="optimizer.request.v1",
            correlation_id=name,
            message_id=name,
            reply_to=self.replies,
            user_id=self._user,
            app_id="bench",
        )
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        body = msgpack.packb(request)
        await self._channel.basic_publish(
            body, exchange=self._requests, routing_key=self._requests, properties=properties
        )
        return msgpack.unpackb(await future)

    async def _received(self, message: DeliveredMessage) -> None:
        name = message.header.properties.correlation_id or ""
        if (future := self._waiting.pop(name, None)) is not None and not future.done():
            future.set_result(message.body)
