"""What can be asked, as types: for code that takes a real client or one of `optimizer_client.testing` alike."""

from collections.abc import Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self, Unpack, runtime_checkable

from optimizer_client.options import Options, Prompt
from optimizer_client.reply import Reply
from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import Status


@runtime_checkable
class AsyncAsks(Protocol):
    """An `AsyncOptimizer`, or a stand-in for it."""

    agent: str

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""

    async def start(self) -> Self:
        """Begin to connect."""

    async def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Reply:
        """Ask for a chat completion."""

    async def embed(self, text: str | list[str], **options: Unpack[Options]) -> Reply:
        """Ask for embeddings."""

    async def chat_many(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Reply | OptimizerError]:
        """Ask many at once."""

    async def cancel(self, request_id: str) -> bool:
        """Stop waiting for a request."""

    async def submit(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> str:
        """Hand over a chat completion and return its id at once."""

    async def submit_embed(self, text: str | list[str], **options: Unpack[Options]) -> str:
        """The same for embeddings."""

    async def fetch(self, request_id: str, *, timeout: float | None = None) -> Reply:  # noqa: ASYNC109 - as above
        """The answer to a submitted request."""

    async def status(self, request_id: str) -> Status:
        """How a submitted request stands."""

    async def cancel_submitted(self, request_id: str) -> bool:
        """Cancel a submitted request."""

    async def close(self) -> None:
        """Close; whatever is unanswered raises `Cancelled`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Asks(Protocol):
    """An `Optimizer`, or a stand-in for it."""

    agent: str

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""

    @property
    def in_flight(self) -> int:
        """How many requests have no answer yet."""

    def start(self) -> Self:
        """Begin to connect."""

    def chat(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Reply:
        """Ask for a chat completion."""

    def embed(self, text: str | list[str], **options: Unpack[Options]) -> Reply:
        """Ask for embeddings."""

    def chat_future(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> Future[Reply]:
        """Ask without waiting."""

    def chat_many(self, prompts: Iterable[Prompt], **options: Unpack[Options]) -> list[Reply | OptimizerError]:
        """Ask many at once."""

    def cancel(self, request_id: str) -> bool:
        """Stop waiting for a request."""

    def submit(self, prompt: Prompt, *, system: str | None = None, **options: Unpack[Options]) -> str:
        """Hand over a chat completion and return its id at once."""

    def submit_embed(self, text: str | list[str], **options: Unpack[Options]) -> str:
        """The same for embeddings."""

    def fetch(self, request_id: str, *, timeout: float | None = None) -> Reply:
        """The answer to a submitted request."""

    def status(self, request_id: str) -> Status:
        """How a submitted request stands."""

    def cancel_submitted(self, request_id: str) -> bool:
        """Cancel a submitted request."""

    def close(self) -> None:
        """Close; whatever is unanswered raises `Cancelled`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
