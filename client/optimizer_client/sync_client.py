"""`Optimizer`: the client without asyncio, on pika. Safe to use from any number of threads at once."""

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from optimizer_client import failures
from optimizer_client.amqp_url import amqp_parameters
from optimizer_client.answer_future import AnswerFuture
from optimizer_client.detour import DirectThread
from optimizer_client.fetching import (
    CONFIRM_S,
    Fetching,
    cancel_question,
    not_ended,
    status_in,
    status_question,
)
from optimizer_client.io_thread import IoThread
from optimizer_client.options import DEFAULT_TIMEOUT_S, Options, Prompt, chat_request, embed_request, submitted
from optimizer_client.reply import Reply
from optimizer_client.settings import ClientSettings
from optimizer_wire import messages
from optimizer_wire.errors import DeadlineExceeded, InvalidRequest, OptimizerError
from optimizer_wire.messages import Fetch, Question, Request, Status
from optimizer_wire.topology import Names
from optimizer_wire.urls import masked_url

# A future ends at its deadline, in the I/O thread; this is how much longer a caller waits before it blames that thread.
GRACE_S = 5.0

Answered = TypeVar("Answered")

_instances: "weakref.WeakSet[Optimizer]" = weakref.WeakSet()


class Optimizer:
    """The optimizer, for programs without asyncio::

        with Optimizer(agent="quality") as optimizer:
            reply = optimizer.chat("Why is the sky blue?", task="reasoning", timeout=30)

    One connection, in a thread of its own, carries the requests of all threads. `chat` and `embed` wait for their
    answer; `chat_future` does not, for thousands in flight. `agent` names who asks. `url` is the AMQP URL (default:
    `OPTIMIZER_AMQP_URL`, else a local RabbitMQ); `timeout` the default deadline of a request in seconds. A request that
    finds no connection waits `connect_timeout` seconds for one and then raises `OptimizerUnavailable`, or with
    `fallback="direct"` goes straight to the first backend of the route.

    A forked child has a connection of its own; futures of its parent are the parent's.

    :raises ValueError: if the URL cannot be used.
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
        self._parameters = amqp_parameters(settings.amqp_url, f"optimizer agent {agent}")
        self._where = masked_url(settings.amqp_url)
        self._names = Names(settings.prefix)
        self._timeout_s = timeout
        self._connect_timeout_s = connect_timeout
        self._direct = DirectThread() if fallback == "direct" else None
        self._closed = False
        self._begin_anew()
        _instances.add(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._thread: IoThread | None = None
        self._stop: Callable[[], object] = bool
        self._futures: dict[str, Future[Any]] = {}

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Begin to connect; requests may be made at once."""
        self._closed = False
        self._running()
        return self

    def close(self) -> None:
        """Close the connection; whatever is unanswered raises `Cancelled`."""
        with self._lock:
            self._closed = True
            self._thread = None
        self._stop()
        if self._direct is not None:
            self._direct.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        thread = self._thread
        return thread is not None and thread.connected

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._futures)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Reply:
        """Ask for a chat completion; `prompt` is text, or a list of OpenAI messages.

        :raises OptimizerError: see `optimizer_wire.errors` for the tree.
        """
        return self.ask(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    def embed(self, text: str | list[str], **options: Unpack[Options]) -> Reply:
        """Ask for the embeddings of one or several texts.

        :raises OptimizerError: see `optimizer_wire.errors` for the tree.
        """
        return self.ask(embed_request(self.agent, text, self._with_defaults(options)))

    def chat_future(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Future[Reply]:
        """Ask without waiting; `future.result()` is the reply or raises its error, `future.cancel()` cancels.

        Callbacks of the future run in the connection's thread: they must not block.

        :raises InvalidRequest: if the options make no sense.
        """
        return self.send(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    def chat_many(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Reply | OptimizerError]:
        """Ask many at once; returns an answer or an error for each, in their order.

        :raises InvalidRequest: for a `request_id`, which names one request.
        """
        if "request_id" in options:
            raise InvalidRequest("A request_id names one request; chat_many makes several.")
        asked = [self._try_submit(prompt, options) for prompt in prompts]
        try:
            return [each if isinstance(each, OptimizerError) else self._outcome(*each) for each in asked]
        except BaseException:
            for each in asked:
                if not isinstance(each, OptimizerError):
                    each[1].cancel()
            raise

    def cancel(self, request_id: str) -> bool:
        """Stop waiting for a request, here and in the optimizer; False if it does not wait.

        Its caller gets `Cancelled`. A call that has begun and that others wait for goes on.
        """
        future = self._futures.get(request_id)
        if future is None:
            return False
        try:
            future.set_exception(failures.cancelled(request_id))
        except InvalidStateError:
            return False
        self._withdraw(request_id)
        return True

    # ── fetching later ───────────────────────────────────────────────────────────────────────────────────────────

    def submit(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> str:
        """Hand over a chat completion and return its id at once, when RabbitMQ has it; this process may end then.

        Any process of the same RabbitMQ user can `fetch` the answer, for 15 minutes from when it is there. `timeout` is
        until when it is to be answered. Submitting again under the same `request_id` is the same request.

        :raises OptimizerError: if RabbitMQ cannot be reached or does not take it. What is wrong with the request itself
            is told to whoever fetches it.
        """
        return self._submit(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    def submit_embed(self, text: str | list[str], **options: Unpack[Options]) -> str:
        """The same for embeddings."""
        return self._submit(embed_request(self.agent, text, self._with_defaults(options)))

    def fetch(self, request_id: str, *, timeout: float | None = None) -> Reply:
        """The answer to a submitted request, waited for at most `timeout` seconds (by default as for any request).

        :raises NotReady: it has not ended yet; `.status` tells how it stands.
        :raises NotFoundError: this RabbitMQ user has submitted none of this id, or it ended more than 15 minutes ago.
        :raises OptimizerError: the error that it ended with.
        """
        timeout_s = self._timeout_s if timeout is None else timeout
        fetching = Fetching(self.agent, request_id, timeout_s, time.monotonic(), time.time)
        while True:
            try:
                wire = self._exchange(fetching.question(time.monotonic()))
            except OptimizerError as error:
                fetching.failed(error, time.monotonic())
            else:
                reply = fetching.heard(wire, time.monotonic())
                if reply is not None:
                    return reply

    def status(self, request_id: str) -> Status:
        """How a submitted request stands: whether it waits, runs or has ended.

        While it waits: how many are before it, and how long until its call is expected to start.

        :raises OptimizerError: if that cannot be found out.
        """
        return status_in(self._exchange(status_question(self.agent, request_id)))

    def cancel_submitted(self, request_id: str) -> bool:
        """Cancel a submitted request from any process of its RabbitMQ user; False if it has ended or is not known.

        Whoever fetches it gets `Cancelled`.

        :raises OptimizerError: if the optimizer cannot be asked.
        """
        return not_ended(status_in(self._exchange(cancel_question(self.agent, request_id))))

    # ── requests that were made elsewhere ────────────────────────────────────────────────────────────────────────

    def ask(self, request: Request) -> Reply:
        """Send a request and wait for its answer.

        :raises OptimizerError: see `optimizer_wire.errors` for the tree.
        """
        future: AnswerFuture[Reply] = self._send(request)
        return self._wait(request, future)

    def send(self, request: Request) -> Future[Reply]:
        """Send a request without waiting.

        :raises InvalidRequest: if a request of the same id is on its way.
        """
        return self._send(request)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _submit(self, request: Request) -> str:
        future = self._send(submitted(request))
        try:
            self._refuse_own_thread(future)
            future.wait(CONFIRM_S)
        except TimeoutError as error:
            # Also its own deadline.
            raise failures.unconfirmed(request.id, min(CONFIRM_S, request.timeout_ms / 1000)) from error
        finally:
            future.cancel()
        return request.id

    def _exchange(self, question: Fetch) -> messages.Reply:
        future: AnswerFuture[messages.Reply] = self._send(question)
        return self._wait(question, future)

    def _send(self, request: Question) -> AnswerFuture[Any]:
        future: AnswerFuture[Any] = AnswerFuture()
        try:
            if self._futures.setdefault(request.id, future) is not future:
                raise failures.on_its_way(request.id)
            future.add_done_callback(partial(self._ended, request.id))
            try:
                self._running().ask(request, future)
            except OptimizerError as error:
                future.set_exception(error)
        except BaseException:
            # Ctrl-C, for example: nobody waits for it.
            future.cancel()
            if self._futures.get(request.id) is future:
                del self._futures[request.id]
            raise
        return future

    def _with_defaults(self, options: Any) -> dict[str, Any]:
        return {"timeout": self._timeout_s, **options}

    def _try_submit(self, prompt: Prompt, options: Options) -> tuple[Request, AnswerFuture[Reply]] | OptimizerError:
        try:
            request = chat_request(self.agent, prompt, None, self._with_defaults(options))
            return request, self._send(request)
        except InvalidRequest as error:
            return error

    def _outcome(self, request: Request, future: AnswerFuture[Reply]) -> Reply | OptimizerError:
        try:
            return self._wait(request, future)
        except OptimizerError as error:
            return error

    def _refuse_own_thread(self, future: Future[Any]) -> None:
        thread = self._thread
        if thread is not None and thread.is_current and not future.done():
            future.cancel()
            raise RuntimeError("A callback of a future cannot wait for an answer; use chat_future there.")

    def _wait(self, request: Question, future: AnswerFuture[Answered]) -> Answered:
        try:
            self._refuse_own_thread(future)
            return future.wait(request.timeout_ms / 1000 + GRACE_S)
        except TimeoutError as error:
            if isinstance(error, OptimizerError):
                raise
            future.cancel()
            raise DeadlineExceeded("The client's own thread did not end the request.", request_id=request.id) from None
        except BaseException:
            # Ctrl-C, for example: nobody waits any more.
            future.cancel()
            raise

    def _ended(self, request_id: str, future: Future[Reply]) -> None:
        self._futures.pop(request_id, None)
        if future.cancelled():
            self._withdraw(request_id)

    def _withdraw(self, request_id: str) -> None:
        thread = self._thread
        if thread is not None:
            thread.withdraw(request_id)

    def _running(self) -> IoThread:
        with self._lock:
            if self._closed:
                raise failures.closed_already()
            if self._thread is None:
                self._thread = IoThread(
                    self._parameters,
                    self._where,
                    self._names,
                    connect_timeout_s=self._connect_timeout_s,
                    detour=self._direct.take if self._direct is not None else None,
                )
                # Also at the end of the program, and when nobody has this client any more.
                self._stop = weakref.finalize(self, IoThread.stop, self._thread)
                self._thread.start()
            return self._thread


def _forget_parent() -> None:
    """In a forked child: the thread stayed in the parent, and so do its connection and what it waits for."""
    for optimizer in _instances:
        optimizer._begin_anew()  # noqa: SLF001
        if optimizer._direct is not None:  # noqa: SLF001
            optimizer._direct = DirectThread()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
