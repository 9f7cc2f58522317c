"""What a call came to."""

from typing import Any

import msgspec

from optimizer_backends.outcome import Outcome
from optimizer_config.amounts import Remaining
from optimizer_wire.messages import Usage

# Of a response, in its order; names in lower case.
Headers = tuple[tuple[str, str], ...]


class CallResult(msgspec.Struct):
    """What a call came to.

    `body` is an OpenAI chat.completion or embeddings list, whatever the backend speaks. `message` is one short
    sentence for people, without prompt text or secrets. `headers` are all of the response, names in lower case.
    `complete` says that the answer may be cached: every choice ended by itself and holds something. `signature` names
    the kind of error (`429 rate_limit_exceeded tokens`). `retry_after_s` is after what time another try makes sense,
    up to a day for a quota; `remaining` what the headers say is left of the backend's limits; `should_retry` whether
    the backend itself (`x-should-retry`) expects another try to help. `written_at` and `ended_at` are
    `time.monotonic()`; `written_at` is None if the request never reached the socket.
    """

    outcome: Outcome
    status: int | None = None
    body: dict[str, Any] | None = None
    message: str = ""
    headers: Headers = ()
    usage: Usage | None = None
    retry_after_s: float | None = None
    remaining: tuple[Remaining, ...] = ()
    should_retry: bool | None = None
    model: str | None = None
    finish_reason: str | None = None
    complete: bool = False
    signature: str = ""
    written_at: float | None = None
    ended_at: float = 0.0

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # Neither the answer nor header values belong into a log.
        shown = ("outcome", "status", "message", "signature", "model", "finish_reason", "complete")
        return [(field, getattr(self, field)) for field in shown]

    def __repr__(self) -> str:
        return f"CallResult({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"
