"""A protocol family: how a request is written and an answer read. Pure: no socket, no clock."""

from typing import Any, Protocol

import msgspec

from optimizer_backends.outcome import Outcome
from optimizer_backends.result import CallResult, Headers
from optimizer_config.model import Backend
from optimizer_wire.messages import Op


class HttpRequest(msgspec.Struct, frozen=True):
    """One POST. It does not show its headers and body, because they hold the key and the prompt."""

    url: str
    headers: dict[str, str]
    body: bytes

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("url", self.url), ("bytes", len(self.body))]

    def __repr__(self) -> str:
        return f"HttpRequest(url={self.url!r}, bytes={len(self.body)})"


class Untranslatable(Exception):
    """The request cannot be said in the backend's protocol; `outcome` is what the call comes to."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class Family(Protocol):
    """A protocol that backends speak."""

    def request(self, backend: Backend, secret: str | None, op: Op, model: str, params: dict[str, Any]) -> HttpRequest:
        """The HTTP request for an OpenAI chat or embeddings body without `model`.

        :raises Untranslatable: if the protocol has no words for it.
        """

    def response(self, status: int, headers: Headers, body: bytes) -> CallResult:
        """What an HTTP response means. Never raises, whatever the bytes are. Header names are in lower case."""


def encode(body: dict[str, Any]) -> bytes:
    """The body as JSON.

    :raises Untranslatable: if JSON cannot say it.
    """
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Untranslatable(Outcome.invalid, f"The parameters cannot be written as JSON: {error}.") from error


def decode(body: bytes) -> Any:
    """The JSON value of a response, or None if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
