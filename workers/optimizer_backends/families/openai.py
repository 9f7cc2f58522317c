"""The OpenAI protocol: chat completions and embeddings, passed through untouched."""

from typing import Any

from optimizer_backends.classify import failure, unusable
from optimizer_backends.family import HttpRequest, decode, encode
from optimizer_backends.fault import read_fault
from optimizer_backends.outcome import Outcome
from optimizer_backends.result import CallResult, Headers
from optimizer_backends.usage import openai_usage
from optimizer_config.model import Backend
from optimizer_wire.messages import Op

_PATHS: dict[Op, str] = {"chat": "/chat/completions", "embed": "/embeddings"}
_STREAMING = frozenset({"stream", "stream_options"})
COMPLETE = ("stop", "tool_calls")


class OpenAIFamily:
    """What OpenAI, Groq, Cerebras, Mistral, Gemini's compatible endpoint and most local servers speak."""

    def request(self, backend: Backend, secret: str | None, op: Op, model: str, params: dict[str, Any]) -> HttpRequest:
        """The parameters as they are, with the model; never streaming."""
        body = {"model": model, **{name: value for name, value in params.items() if name not in _STREAMING}}
        body["model"] = model
        headers = {"content-type": "application/json", "accept": "application/json"}
        if secret:
            headers["authorization"] = f"Bearer {secret}"
        return HttpRequest(backend.base_url.rstrip("/") + _PATHS[op], headers | backend.headers, encode(body))

    def response(self, status: int, headers: Headers, body: bytes) -> CallResult:
        """The answer as it is, or what went wrong."""
        answer = decode(body)
        if not 200 <= status < 300:
            return failure(read_fault(status, answer), headers)
        if not isinstance(answer, dict):
            return unusable(status, headers, "something that is not a JSON object")
        if choices := answer.get("choices"):
            return _chat(status, headers, answer, choices)
        if isinstance(answer.get("data"), list) and answer["data"]:
            return _answered(status, headers, answer, None, complete=True)
        if answer.get("error"):
            return _late_error(status, headers, answer)
        return unusable(status, headers, "neither choices nor embeddings")


def _chat(status: int, headers: Headers, answer: dict[str, Any], choices: Any) -> CallResult:
    if not isinstance(choices, list) or not all(
        isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in choices
    ):
        return unusable(status, headers, "a choice without a message")
    if failed := next((choice for choice in choices if isinstance(choice.get("error"), dict)), None):
        return _late_error(status, headers, failed)
    complete = all(choice.get("finish_reason") in COMPLETE and _holds(choice["message"]) for choice in choices)
    reason = choices[0].get("finish_reason")
    return _answered(status, headers, answer, reason if isinstance(reason, str) else None, complete=complete)


def _holds(message: dict[str, Any]) -> bool:
    """Whether a message says anything: servers in trouble answer with nothing, and nothing must not be cached."""
    return any(message.get(field) for field in ("content", "tool_calls", "refusal", "audio", "function_call"))


def _answered(
    status: int, headers: Headers, answer: dict[str, Any], reason: str | None, *, complete: bool
) -> CallResult:
    model = answer.get("model")
    return CallResult(
        Outcome.answered,
        status=status,
        body=answer,
        headers=headers,
        usage=openai_usage(answer.get("usage")),
        model=model if isinstance(model, str) and model else None,
        finish_reason=reason,
        complete=complete,
    )


def _late_error(status: int, headers: Headers, holder: dict[str, Any]) -> CallResult:
    """An error under a status of success, as gateways send it when the model fails after they had answered."""
    error = holder["error"]
    code = error.get("code") if isinstance(error, dict) else None
    told = code if isinstance(code, int) and 400 <= code < 600 else 502
    result = failure(read_fault(told, holder), headers)
    result.status = status
    return result
