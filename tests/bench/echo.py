"""What everything is measured beside: a bare echo RPC as a user of aio-pika writes it.

Client and server are one process each, on uvloop. Requests go through the default exchange to a classic, transient
queue; the server consumes with a prefetch of 1,000, sends the body back and acks; the client's reply queue is exclusive
and read without acks. Publisher confirms are off on both sides, messages are not persistent. Each of these choices is
the fast one: with a quorum queue, as the optimizer's requests have, RabbitMQ works half as much again for the echo.

    python -m tests.bench.echo AMQP_URL QUEUE
"""

import asyncio
import sys
from typing import Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

PREFETCH = 1_000


class EchoClient:
    """Asks an echo server over one connection, any number of questions at a time."""

    def __init__(self, url: str, queue: str) -> None:
        self._url = url
        self._queue = queue
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    async def __aenter__(self) -> Self:
        self._connection = await aio_pika.connect(self._url)
        self._channel = await self._connection.channel(publisher_confirms=False)
        self._replies = await self._channel.declare_queue(exclusive=True)
        await self._replies.consume(self._received, no_ack=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def ask(self, body: bytes) -> bytes:
        """Send a body; returns what came back."""
        name = uuid4().hex
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        message = aio_pika.Message(body, correlation_id=name, reply_to=self._replies.name)
        await self._channel.default_exchange.publish(message, routing_key=self._queue)
        return await future

    async def _received(self, message: AbstractIncomingMessage) -> None:
        future = self._waiting.pop(message.correlation_id or "")
        # Who asked may have been stopped.
        if not future.done():
            future.set_result(message.body)


async def serve(url: str, queue: str) -> None:
    """Echo until the process is ended."""
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=PREFETCH)
    requests = await channel.declare_queue(queue, auto_delete=True)

    async def echo(message: AbstractIncomingMessage) -> None:
        reply = aio_pika.Message(message.body, correlation_id=message.correlation_id)
        await channel.default_exchange.publish(reply, routing_key=message.reply_to or "")
        await message.ack()

    await requests.consume(echo)
    print('{"event": "ready"}', flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(*sys.argv[1:3]))
