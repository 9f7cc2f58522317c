"""The answer as agents see it."""

from dataclasses import dataclass
from typing import Any

import msgspec

from optimizer_wire import messages
from optimizer_wire.errors import InternalError, error_from
from optimizer_wire.messages import Source, Task, Timings, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `str(reply)` is its text.

    `result` is the OpenAI chat.completion (or embeddings list) with everything the provider sent. `source` tells where
    it came from: a backend, the cache, a call that another request had caused, or a direct call past the optimizer.
    `cost_usd` is what this request cost: 0 if it was shared, None if the price is not known.
    """

    id: str
    result: dict[str, Any]
    source: Source
    backend: str | None = None
    model: str | None = None
    task: Task | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    age_s: float | None = None
    timings: Timings = Timings()
    attempts: int = 0

    @property
    def text(self) -> str:
        """The text of the first choice; empty if it called tools instead."""
        choices = self.result.get("choices") or [{}]
        content = (choices[0].get("message") or {}).get("content")
        if isinstance(content, list):
            return "".join(part.get("text", "") for part in content if isinstance(part, dict))
        return content or ""

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The tool calls of the first choice, as the provider sent them."""
        choices = self.result.get("choices") or [{}]
        return (choices[0].get("message") or {}).get("tool_calls") or []

    @property
    def embeddings(self) -> list[list[float]]:
        """The vectors of an embeddings answer, in the order of the input."""
        return [item["embedding"] for item in sorted(self.result.get("data") or [], key=lambda item: item["index"])]

    @property
    def shared(self) -> bool:
        """Whether the answer came without a call of its own."""
        return self.source in {"cache", "collapsed"}

    def __str__(self) -> str:
        return self.text


_results = msgspec.msgpack.Decoder(dict[str, Any])


def reply_from(wire: messages.Reply) -> Reply:
    """The answer in a reply that came over the wire.

    :raises OptimizerError: the error in it, if it is one.
    """
    if wire.error is not None:
        raise error_from(wire.error, wire.id)
    try:
        result = _results.decode(wire.result)
    except msgspec.MsgspecError as error:
        raise InternalError("The optimizer sent a reply without a result.", request_id=wire.id) from error
    return Reply(
        id=wire.id,
        result=result,
        source=wire.source,
        backend=wire.backend,
        model=wire.model,
        task=wire.task,
        usage=wire.usage,
        cost_usd=wire.cost_usd,
        age_s=wire.age_s,
        timings=wire.timings,
        attempts=wire.attempts,
    )
