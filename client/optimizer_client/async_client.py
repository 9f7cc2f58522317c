"""`AsyncOptimizer`: the client for asyncio, on aiormq.

One connection carries any number of requests. A task in the background keeps it (`io_task.py`).
"""

import asyncio
import os
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self, Unpack

from optimizer_client import failures
from optimizer_client.direct import DirectCaller, direct_caller
from optimizer_client.fetching import (
    CONFIRM_S,
    Fetching,
    cancel_question,
    not_ended,
    status_in,
    status_question,
)
from optimizer_client.io_task import IoTask, ReplyFuture, fail
from optimizer_client.options import DEFAULT_TIMEOUT_S, Options, Prompt, chat_request, embed_request, submitted
from optimizer_client.reply import Reply, reply_from
from optimizer_client.settings import ClientSettings
from optimizer_wire import messages
from optimizer_wire.errors import BackendUnavailable, InvalidRequest, OptimizerError, OptimizerUnavailable
from optimizer_wire.messages import Question, Request, Status
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

    # ── fetching later ───────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> str:
        """Hand over a chat completion and return its id at once, when RabbitMQ has it; this process may end then.

        Any process of the same RabbitMQ user can `fetch` the answer, for 15 minutes from when it is there. `timeout` is
        until when it is to be answered. Submitting again under the same `request_id` is the same request.

        :raises OptimizerError: if RabbitMQ cannot be reached or does not take it. What is wrong with the request itself
            is told to whoever fetches it.
        """
        return await self._submit(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    async def submit_embed(self, text: str | list[str], **options: Unpack[Options]) -> str:
        """The same for embeddings."""
        return await self._submit(embed_request(self.agent, text, self._with_defaults(options)))

    async def fetch(self, request_id: str, *, timeout: float | None = None) -> Reply:  # noqa: ASYNC109 - a turn at a time
        """The answer to a submitted request, waited for at most `timeout` seconds (by default as for any request).

        :raises NotReady: it has not ended yet; `.status` tells how it stands.
        :raises NotFoundError: this RabbitMQ user has submitted none of this id, or it ended more than 15 minutes ago.
        :raises OptimizerError: the error that it ended with.
        """
        timeout_s = self._timeout_s if timeout is None else timeout
        fetching = Fetching(self.agent, request_id, timeout_s, time.monotonic(), time.time)
        while True:
            try:
                wire = await self._exchange(fetching.question(time.monotonic()))
            except OptimizerError as error:
                fetching.failed(error, time.monotonic())
            else:
                reply = fetching.heard(wire, time.monotonic())
                if reply is not None:
                    return reply

    async def status(self, request_id: str) -> Status:
        """How a submitted request stands: whether it waits, runs or has ended.

        While it waits: how many are before it, and how long until its call is expected to start.

        :raises OptimizerError: if that cannot be found out.
        """
        return status_in(await self._exchange(status_question(self.agent, request_id)))

    async def cancel_submitted(self, request_id: str) -> bool:
        """Cancel a submitted request from any process of its RabbitMQ user; False if it has ended or is not known.

        Whoever fetches it gets `Cancelled`.

        :raises OptimizerError: if the optimizer cannot be asked.
        """
        return not_ended(status_in(await self._exchange(cancel_question(self.agent, request_id))))

    async def _submit(self, request: Request) -> str:
        try:
            async with asyncio.timeout(CONFIRM_S):
                await self._exchange(submitted(request))
        except TimeoutError as error:
            # Also its own deadline.
            raise failures.unconfirmed(request.id, min(CONFIRM_S, request.timeout_ms / 1000)) from error
        return request.id

    async def _exchange(self, question: Question) -> messages.Reply:
        """Send what has no way around and cannot be cancelled; returns what came back."""
        if self._closed:
            raise failures.closed_already(question.id)
        future: ReplyFuture = asyncio.get_running_loop().create_future()
        self._io.ask(question, future, self._connect_timeout_s)
        try:
            return await future
        finally:
            self._io.discard(question.id)

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
            left = entry.at(loop.time())
            if self._direct is None or entry.deadline <= loop.time() or not isinstance(left, Request):
                raise
            return await self._direct.call(left)
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
