"""`AsyncOptimizer`: the client for asyncio, on aio-pika.

One connection carries any number of requests. A task in the background keeps it (`io_task.py`).
"""

import asyncio
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from optimizer_client import failures
from optimizer_client.direct import DirectCaller, direct_caller
from optimizer_client.io_task import IoTask, ReplyFuture, fail
from optimizer_client.options import DEFAULT_TIMEOUT_S, Options, Prompt, chat_request, embed_request
from optimizer_client.reply import Reply, reply_from
from optimizer_client.settings import ClientSettings
from optimizer_wire.errors import BackendUnavailable, InvalidRequest, OptimizerError, OptimizerUnavailable
from optimizer_wire.messages import Request
from optimizer_wire.topology import Names


class AsyncOptimizer:
    """The optimizer, for asyncio::

        async with AsyncOptimizer(agent="quality") as optimizer:
            reply = await optimizer.chat("Why is the sky blue?", task="reasoning", timeout=30)

    `agent` names who asks. `url` is the AMQP URL (default: `OPTIMIZER_AMQP_URL`, else a local RabbitMQ); `timeout` the
    default deadline of a request in seconds. A request that finds no connection waits `connect_timeout` seconds for one
    and then raises `OptimizerUnavailable`, or with `fallback="direct"` goes straight to the first backend of the route.
    """

    def __init__(
        self,
        agent: str,
        *,
        url: str | None = None,
        prefix: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        connect_timeout: float = 5.0,
        fallback: Literal["direct"] | None = None,
    ) -> None:
        settings = ClientSettings.read(os.environ, url=url, prefix=prefix)
        self.agent = agent
        self._timeout_s = timeout
        self._connect_timeout_s = connect_timeout
        self._direct: DirectCaller | None = direct_caller() if fallback == "direct" else None
        self._closed = False
        self._io = IoTask(settings.amqp_url, Names(settings.prefix), agent, waits_blocked=self._direct is None)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> Self:
        """Begin to connect; requests may be made at once."""
        self._closed = False
        self._io.start()
        return self

    async def close(self) -> None:
        """Close the connection; whatever is unanswered raises `Cancelled`, and the optimizer is told so."""
        self._closed = True
        await self._io.stop()
        if self._direct is not None:
            await self._direct.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._io.connected

    @property
    def instance(self) -> str:
        """The name of this client among all: its reply queue ends with it."""
        return self._io.instance

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return self._io.in_flight

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Reply:
        """Ask for a chat completion; `prompt` is text, or a list of OpenAI messages.

        :raises OptimizerError: see `optimizer_wire.errors` for the tree.
        """
        return await self._ask(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    async def embed(self, text: str | list[str], **options: Unpack[Options]) -> Reply:
        """Ask for the embeddings of one or several texts.

        :raises OptimizerError: see `optimizer_wire.errors` for the tree.
        """
        return await self._ask(embed_request(self.agent, text, self._with_defaults(options)))

    async def chat_many(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Reply | OptimizerError]:
        """Ask many at once; returns an answer or an error for each, in their order.

        :raises InvalidRequest: for a `request_id`, which names one request.
        """
        if "request_id" in options:
            raise InvalidRequest("A request_id names one request; chat_many makes several.")
        asked = [asyncio.ensure_future(self.chat(prompt, **options)) for prompt in prompts]
        results = await asyncio.gather(*asked, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, OptimizerError):
                raise result
        return [result for result in results if isinstance(result, Reply | OptimizerError)]

    async def cancel(self, request_id: str) -> bool:
        """Stop waiting for a request, here and in the optimizer; False if it does not wait.

        Its caller gets `Cancelled`. A call that has begun and that others wait for goes on.
        """
        entry = self._io.discard(request_id)
        if entry is None:
            return False
        fail(entry, failures.cancelled(request_id))
        await self._io.tell_cancelled(entry)
        return True

    def _with_defaults(self, options: Any) -> dict[str, Any]:
        return {"timeout": self._timeout_s, **options}

    async def _ask(self, request: Request) -> Reply:
        if self._closed:
            raise failures.closed_already(request.id)
        loop = asyncio.get_running_loop()
        future: ReplyFuture = loop.create_future()
        entry = self._io.ask(request, future, self._patience_s(request))
        try:
            reply = await future
        except (OptimizerUnavailable, BackendUnavailable):
            # Not a reply, but what the client itself found: there is no optimizer.
            if self._direct is None or entry.deadline <= loop.time():
                raise
            return await self._direct.call(entry.at(loop.time()))
        except asyncio.CancelledError:
            if self._io.discard(request.id) is not None:
                self._io.tell_cancelled_soon(entry)
            raise
        return reply_from(reply)

    def _patience_s(self, request: Request) -> float:
        """How long a request may look for a connection; with a way around, that gets half of the time."""
        if self._direct is None:
            return self._connect_timeout_s
        return min(self._connect_timeout_s, request.timeout_ms / 2000)
