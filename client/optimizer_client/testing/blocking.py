"""`InMemorySyncOptimizer`: the blocking client without anything behind it."""

import weakref
from collections.abc import Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, Unpack

from optimizer_client.loop_thread import LoopThread
from optimizer_client.options import DEFAULT_TIMEOUT_S, Options, Prompt, chat_request, embed_request
from optimizer_client.reply import Reply
from optimizer_client.testing.memory import InMemoryOptimizer, Latency
from optimizer_client.testing.script import Answers
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import Request, Status


class InMemorySyncOptimizer:
    """Behaves as an `Optimizer` whose backend is `answers`; the arguments are those of `InMemoryOptimizer`.

    It is an `InMemoryOptimizer` with a thread of its own; `memory` is that one.
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
        self.memory = InMemoryOptimizer(agent, answers=answers, latency_s=latency_s, timeout=timeout, tenant=tenant)
        self._timeout_s = timeout
        self._thread = LoopThread("optimizer-in-memory")
        weakref.finalize(self, LoopThread.close, self._thread)

    # ── what a test looks at ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def requests(self) -> list[Request]:
        """Everything that was asked, in order."""
        return self.memory.requests

    @property
    def calls(self) -> list[Request]:
        """What reached the backend."""
        return self.memory.calls

    @property
    def replies(self) -> list[Reply]:
        """What was answered."""
        return self.memory.replies

    @property
    def reachable(self) -> bool:
        """Set it to False to have every request raise `OptimizerUnavailable`."""
        return self.memory.reachable

    @reachable.setter
    def reachable(self, value: bool) -> None:
        self.memory.reachable = value

    # ── the interface of Optimizer ───────────────────────────────────────────────────────────────────────────────

    def start(self) -> Self:
        """Be there; requests may be made without it."""
        self._thread.submit(self.memory.start()).result()
        return self

    def close(self) -> None:
        """Be gone; whatever is unanswered raises `Cancelled`."""
        self._thread.submit(self.memory.close()).result()
        self._thread.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether requests can be made now."""
        return self.memory.connected

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""
        return self.memory.in_flight

    def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Reply:
        """Ask for a chat completion.

        :raises OptimizerError: if the script says so, or at the deadline.
        """
        return self.ask(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    def embed(self, text: str | list[str], **options: Unpack[Options]) -> Reply:
        """Ask for the embeddings of one or several texts.

        :raises OptimizerError: if the script says so, or at the deadline.
        """
        return self.ask(embed_request(self.agent, text, self._with_defaults(options)))

    def chat_future(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Future[Reply]:
        """Ask without waiting.

        :raises InvalidRequest: if the options make no sense.
        """
        return self.send(chat_request(self.agent, prompt, system, self._with_defaults(options)))

    def chat_many(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Reply | OptimizerError]:
        """Ask many at once; returns an answer or an error for each, in their order.

        :raises InvalidRequest: for a `request_id`, which names one request.
        """
        return self._thread.submit(self.memory.chat_many(prompts, **options)).result()

    def cancel(self, request_id: str) -> bool:
        """Stop waiting for a request; False if it does not wait."""
        return self._thread.submit(self.memory.cancel(request_id)).result()

    def submit(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> str:
        """Hand over a chat completion and return its id at once."""
        return self._thread.submit(self.memory.submit(prompt, system=system, **options)).result()

    def submit_embed(self, text: str | list[str], **options: Unpack[Options]) -> str:
        """The same for embeddings."""
        return self._thread.submit(self.memory.submit_embed(text, **options)).result()

    def fetch(self, request_id: str, *, timeout: float | None = None) -> Reply:
        """The answer to a submitted request.

        :raises NotReady: it has not ended within `timeout` seconds.
        :raises NotFoundError: nobody has submitted it.
        :raises OptimizerError: the error that it ended with.
        """
        return self._thread.submit(self.memory.fetch(request_id, timeout=timeout)).result()

    def status(self, request_id: str) -> Status:
        """How a submitted request stands."""
        return self._thread.submit(self.memory.status(request_id)).result()

    def cancel_submitted(self, request_id: str) -> bool:
        """Cancel a submitted request; False if it has ended or is not known."""
        return self._thread.submit(self.memory.cancel_submitted(request_id)).result()

    # ── requests that were made elsewhere ────────────────────────────────────────────────────────────────────────

    def ask(self, request: Request) -> Reply:
        """Answer a request that was made elsewhere.

        :raises OptimizerError: if the script says so, or at the deadline.
        """
        if self._thread.is_current:
            raise RuntimeError("A callback of a future cannot wait for an answer; use chat_future there.")
        return self.send(request).result()

    def send(self, request: Request) -> Future[Reply]:
        """Answer a request that was made elsewhere, later."""
        return self._thread.submit(self.memory.ask(request))

    def _with_defaults(self, options: Any) -> dict[str, Any]:
        return {"timeout": self._timeout_s, **options}
