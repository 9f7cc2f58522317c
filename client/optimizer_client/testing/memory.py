"""`InMemoryOptimizer`: the asyncio client without anything behind it."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, Unpack

from optimizer_client import failures
from optimizer_client.fetching import in_words
from optimizer_client.options import DEFAULT_TIMEOUT_S, Options, Prompt, chat_request, embed_request
from optimizer_client.reply import Reply
from optimizer_client.testing.script import Answers, Script, complete, usage_of
from optimizer_wire.errors import DeadlineExceeded, InvalidRequest, NotFoundError, NotReady, OptimizerError
from optimizer_wire.fingerprint import fingerprint, lone_fingerprint
from optimizer_wire.messages import Request, Source, Status

DEFAULT_TTL_S = 600.0
RUNNING = Status("running", 0, 0.0)

Latency = float | Callable[[Request], float]


@dataclass(slots=True)
class _Flight:
    """A call on its way, and how many wait for it."""

    call: "asyncio.Task[dict[str, Any]]"
    waiters: int = 0


class InMemoryOptimizer:
    """Behaves as an `AsyncOptimizer` whose backend is `answers`; see `optimizer_client.testing`.

    `answers` is a text for everything, a mapping from prompts, a list (one for each call), a function of the request,
    or None for an echo; an `OptimizerError` among them is raised. `latency_s` is how long a call takes, in seconds, or
    a function of the request that tells it; who waits longer than its deadline allows gets `DeadlineExceeded`.

    `requests` holds everything that was asked, `calls` what reached the backend, `replies` what was answered.
    Set `reachable` to False to have every request raise `OptimizerUnavailable`.
    """

    def __init__(
        self,
        agent: str = "test",
        *,
        answers: Answers = None,
        latency_s: Latency = 0.0,
        timeout: float = DEFAULT_TIMEOUT_S,
        tenant: str = "default",
    ) -> None:
        self.agent = agent
        self.requests: list[Request] = []
        self.calls: list[Request] = []
        self.replies: list[Reply] = []
        self.reachable = True
        self._script = Script(answers)
        self._latency_s = latency_s
        self._timeout_s = timeout
        self._tenant = tenant
        self._cache: dict[str, tuple[float, dict[str, Any]]] = {}
        self._flights: dict[str, _Flight] = {}
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._submitted: dict[str, asyncio.Task[Reply]] = {}
        self._closed = False

    # ── the interface of AsyncOptimizer ──────────────────────────────────────────────────────────────────────────

    async def start(self) -> Self:
        """Be there; requests may be made without it."""
        self._closed = False
        return self

    async def close(self) -> None:
        """Be gone; whatever is unanswered raises `Cancelled`."""
        self._closed = True
        for request_id, future in list(self._waiting.items()):
            _end(future, failures.client_closed(request_id))
        calls = [flight.call for flight in self._flights.values()]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, *self._submitted.values(), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether requests can be made now."""
        return self.reachable and not self._closed

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return len(self._waiting)

    async def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Reply:
        """Ask for a chat completion.

        :raises OptimizerError: if the script says so, or at the deadline.
        """
        return await self.ask(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    async def embed(self, text: str | list[str], **options: Unpack[Options]) -> Reply:
        """Ask for the embeddings of one or several texts.

        :raises OptimizerError: if the script says so, or at the deadline.
        """
        return await self.ask(embed_request(self.agent, text, self._with_defaults(options)))

    async def chat_many(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Reply | OptimizerError]:
        """Ask many at once; returns an answer or an error for each, in their order.

        :raises InvalidRequest: for a `request_id`, which names one request.
        """
        if "request_id" in options:
            raise InvalidRequest("A request_id names one request; chat_many makes several.")
        return list(await asyncio.gather(*(self._outcome(prompt, options) for prompt in prompts)))

    async def cancel(self, request_id: str) -> bool:
        """Stop waiting for a request; False if it does not wait."""
        future = self._waiting.get(request_id)
        return future is not None and _end(future, failures.cancelled(request_id))

    # ── fetching later: there is no other process, so that everything ends with this object ──────────────────────

    async def submit(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> str:
        """Hand over a chat completion and return its id at once."""
        return self.hand_over(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    async def submit_embed(self, text: str | list[str], **options: Unpack[Options]) -> str:
        """The same for embeddings."""
        return self.hand_over(embed_request(self.agent, text, self._with_defaults(options)))

    async def fetch(self, request_id: str, *, timeout: float | None = None) -> Reply:  # noqa: ASYNC109 - as the real one
        """The answer to a submitted request.

        :raises NotReady: it has not ended within `timeout` seconds.
        :raises NotFoundError: nobody has submitted it.
        :raises OptimizerError: the error that it ended with.
        """
        self._check_reachable(request_id)
        task = self._submitted.get(request_id)
        if task is None:
            raise NotFoundError(f"There is no submitted request {request_id!r}.", request_id=request_id)
        timeout_s = self._timeout_s if timeout is None else timeout
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            sentence = f"The request has not ended within {timeout_s:g} s: {in_words(RUNNING)}."
            raise NotReady(sentence, request_id=request_id, status=RUNNING)
        return task.result()

    async def status(self, request_id: str) -> Status:
        """How a submitted request stands: everything runs at once here, so that none waits."""
        self._check_reachable(request_id)
        task = self._submitted.get(request_id)
        if task is None:
            return Status("unknown")
        if not task.done():
            return RUNNING
        return Status("answered" if task.exception() is None else "failed")

    async def cancel_submitted(self, request_id: str) -> bool:
        """Cancel a submitted request; False if it has ended or is not known."""
        self._check_reachable(request_id)
        task = self._submitted.get(request_id)
        if task is None or task.done():
            return False
        # It may have been handed over a moment ago, and begins now.
        await asyncio.sleep(0)
        return await self.cancel(request_id)

    # ── what the optimizer does ──────────────────────────────────────────────────────────────────────────────────

    async def ask(self, request: Request) -> Reply:
        """Answer a request that was made elsewhere.

        :raises OptimizerError: if the script says so, or at the deadline.
        """
        self._check(request)
        self.requests.append(request)
        future = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = future
        serving = asyncio.ensure_future(self._serve(request))
        serving.add_done_callback(lambda served: _hand_over(future, served))
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                reply: Reply = await future
        except TimeoutError as error:
            if isinstance(error, OptimizerError):
                raise
            waited_s = request.timeout_ms / 1000
            raise DeadlineExceeded(f"No answer within {waited_s:g} s.", request_id=request.id) from None
        finally:
            del self._waiting[request.id]
            serving.cancel()
        self.replies.append(reply)
        return reply

    def hand_over(self, request: Request) -> str:
        """Take a submitted request; the same id again is the same request."""
        self._check_reachable(request.id)
        if request.id not in self._submitted:
            self._submitted[request.id] = task = asyncio.ensure_future(self.ask(request))
            # Nobody may ever fetch it.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return request.id

    def _check_reachable(self, request_id: str) -> None:
        if self._closed:
            raise failures.closed_already(request_id)
        if not self.reachable:
            raise failures.unreachable("the test says so.", request_id)

    def _check(self, request: Request) -> None:
        self._check_reachable(request.id)
        if request.id in self._waiting:
            raise failures.on_its_way(request.id)

    async def _serve(self, request: Request) -> Reply:
        mode = request.cache.mode
        if mode == "off":
            name = lone_fingerprint(request, self._tenant, None)
        else:
            name = fingerprint(request, self._tenant, request.task or "general")
        if mode == "use" and (kept := self._cache.get(name)) is not None and kept[0] > time.monotonic():
            return _reply(request, kept[1], "cache")
        flight = self._flights.get(name)
        source: Source = "backend" if flight is None else "collapsed"
        if flight is None:
            flight = self._flights[name] = _Flight(asyncio.ensure_future(self._call(request, name)))
        flight.waiters += 1
        try:
            return _reply(request, await asyncio.shield(flight.call), source)
        except OptimizerError as error:
            # Everybody gets an exception of their own.
            raise type(error)(error.message, retry_after_s=error.retry_after_s, request_id=request.id) from error
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.call.done():
                # Nobody wants it any more.
                self._land(name, flight)
                flight.call.cancel()

    async def _call(self, request: Request, name: str) -> dict[str, Any]:
        flight = self._flights[name]
        try:
            self.calls.append(request)
            latency_s = self._latency_s(request) if callable(self._latency_s) else self._latency_s
            await asyncio.sleep(latency_s)
            result = self._script.result(request)
        finally:
            self._land(name, flight)
        ttl_s = DEFAULT_TTL_S if request.cache.ttl_s is None else request.cache.ttl_s
        if request.cache.mode != "off" and ttl_s > 0 and complete(result):
            self._cache[name] = (time.monotonic() + ttl_s, result)
        return result

    def _land(self, name: str, flight: _Flight) -> None:
        if self._flights.get(name) is flight:
            del self._flights[name]

    async def _outcome(self, prompt: Prompt, options: Options) -> Reply | OptimizerError:
        try:
            return await self.chat(prompt, **options)
        except OptimizerError as error:
            return error

    def _with_defaults(self, options: Any) -> dict[str, Any]:
        return {"timeout": self._timeout_s, **options}


def _reply(request: Request, result: dict[str, Any], source: Source) -> Reply:
    model = result.get("model")
    reply = Reply(
        id=request.id,
        result=result,
        source=source,
        backend="memory",
        model=model if isinstance(model, str) else None,
        task=request.task or "general",
        usage=usage_of(result),
        cost_usd=0.0,
        attempts=1,
    )
    return replace(reply, age_s=0.0, attempts=0) if source == "cache" else reply


def _end(future: "asyncio.Future[Reply]", error: OptimizerError) -> bool:
    if future.done():
        return False
    future.set_exception(error)
    return True


def _hand_over(future: "asyncio.Future[Reply]", served: "asyncio.Task[Reply]") -> None:
    if served.cancelled():
        return
    error = served.exception()
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(served.result())
