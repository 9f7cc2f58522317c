"""What the optimizer in memory answers: a script of texts, results and errors. Pure."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from optimizer_wire.errors import OptimizerError
from optimizer_wire.messages import Request, Usage
from optimizer_wire.text import content_text

Answer = str | Mapping[str, Any] | OptimizerError
"""A text, a whole result (chat.completion or embeddings list) as a provider sends it, or an error to raise."""

Answers = Answer | Mapping[str, Answer] | Sequence[Answer] | Callable[[Request], Answer] | None
"""One answer for everything; by the text of the prompt; one call after the other; computed; or None for an echo."""

_COMPLETE = frozenset({"stop", "tool_calls"})
_DIMENSIONS = 8


class Script:
    """Answers requests one after the other."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._used = 0

    def result(self, request: Request) -> dict[str, Any]:
        """The result for a request that reaches the backend.

        :raises OptimizerError: if the script says so.
        :raises AssertionError: if the script has nothing for it.
        """
        answer = self._answer(request)
        if isinstance(answer, OptimizerError):
            raise answer
        if isinstance(answer, str):
            return completion(answer, request)
        return dict(answer)

    def _answer(self, request: Request) -> Answer:
        match self._answers:
            case None:
                return embeddings(request) if request.op == "embed" else question(request)
            case str() | OptimizerError():
                return self._answers
            case Mapping() if "choices" in self._answers or "data" in self._answers:
                return self._answers
            case Mapping():
                return self._by_text(request, self._answers)
            case Sequence():
                return self._next(self._answers)
            case compute:
                return compute(request)

    def _by_text(self, request: Request, answers: Mapping[str, Any]) -> Answer:
        asked = question(request)
        if asked not in answers:
            known = ", ".join(repr(text) for text in answers) or "nothing"
            raise AssertionError(f"The script has no answer to {asked!r}; it has answers to {known}.")
        found: Answer = answers[asked]
        return found

    def _next(self, answers: Sequence[Answer]) -> Answer:
        if self._used >= len(answers):
            raise AssertionError(f"The script has {len(answers)} answers, and this is call {self._used + 1}.")
        self._used += 1
        return answers[self._used - 1]


def question(request: Request) -> str:
    """The text of the last message of a user, or of what is to be embedded."""
    if request.op == "embed":
        return content_text(request.params["input"])
    asked = [message for message in request.params["messages"] if message.get("role") == "user"]
    return content_text(asked[-1].get("content")) if asked else ""


def completion(text: str, request: Request) -> dict[str, Any]:
    """A chat.completion with this text."""
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chatcmpl-{request.id}",
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": (prompt := _tokens(question(request))),
            "completion_tokens": (output := _tokens(text)),
            "total_tokens": prompt + output,
        },
    }


def embeddings(request: Request) -> dict[str, Any]:
    """An embeddings list with a vector for each text: the same for the same text."""
    texts = request.params["input"]
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(str(text))}
        for index, text in enumerate([texts] if isinstance(texts, str) else texts)
    ]
    return {"object": "list", "model": request.model, "data": data}


def complete(result: Mapping[str, Any]) -> bool:
    """Whether every choice ended by itself: only then is it an answer to be kept."""
    return all(choice.get("finish_reason", "stop") in _COMPLETE for choice in result.get("choices") or [])


def usage_of(result: Mapping[str, Any]) -> Usage | None:
    """The tokens that a result says it took."""
    raw = result.get("usage")
    if not isinstance(raw, Mapping):
        return None
    return Usage(int(raw.get("prompt_tokens") or 0), int(raw.get("completion_tokens") or 0), raw=dict(raw))


def _tokens(text: str) -> int:
    return max(1, len(text) // 4)


def _vector(text: str) -> list[float]:
    digest = blake2b(text.encode(), digest_size=_DIMENSIONS).digest()
    return [byte / 127.5 - 1 for byte in digest]
