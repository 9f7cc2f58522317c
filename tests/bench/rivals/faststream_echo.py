"""An echo as a FastStream subscriber, called by its request; runs in an environment that has FastStream.

python -m tests.bench.rivals.faststream_echo serve|ask
"""

import asyncio
import os
import sys

from faststream import FastStream  # type: ignore[import-not-found]
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue  # type: ignore[import-not-found]
from tests.bench import child
from tests.bench.loops import closed_loop
from tests.bench.questions import PROMPT_CHARS

broker = RabbitBroker(os.environ["BENCH_AMQP_URL"], default_channel=Channel(prefetch_count=1_000), log_level=50)
queue = RabbitQueue(os.environ["BENCH_QUEUE"], auto_delete=True)


async def serve() -> None:
    """Echo until the process is ended."""

    @broker.subscriber(queue)
    async def echo(body: str) -> str:
        return body

    app = FastStream(broker, logger=None)
    app.after_startup(lambda: print('{"event": "ready"}', flush=True))
    await app.run()


async def ask() -> None:
    """Run closed loops for the parent."""
    body = "x" * PROMPT_CHARS

    async def one(_: int) -> None:
        reply = await broker.request(body, queue, timeout=30)
        assert reply.body.decode() == body

    async with broker:
        await broker.start()
        await child.answer_async(lambda in_flight, seconds: closed_loop(one, in_flight, seconds))


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    asyncio.run(serve() if sys.argv[1] == "serve" else ask())
