"""The Anthropic protocol: OpenAI bodies to `/v1/messages`, and its answers back to chat completions."""

from typing import Any

import msgspec

from optimizer_backends.classify import failure, unusable
from optimizer_backends.families.anthropic_request import messages_body
from optimizer_backends.families.openai import COMPLETE
from optimizer_backends.family import HttpRequest, Untranslatable, decode, encode
from optimizer_backends.fault import read_fault
from optimizer_backends.hints import header, http_date
from optimizer_backends.outcome import Outcome
from optimizer_backends.result import CallResult, Headers
from optimizer_backends.usage import count, table
from optimizer_config.model import Backend
from optimizer_wire.messages import Op, Usage

# The older of the two versions: from 2026-10-21 on every sampling parameter is refused, even at its default.
VERSION = "2023-06-01"
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


class AnthropicFamily:
    """What Anthropic speaks natively, with exact usage and its own overload status."""

    def request(self, backend: Backend, secret: str | None, op: Op, model: str, params: dict[str, Any]) -> HttpRequest:
        """The parameters as a Messages body.

        :raises Untranslatable: for embeddings, several choices, audio, and what is not a chat body.
        """
        if op != "chat":
            raise Untranslatable(Outcome.unknown_model, "The Anthropic protocol has no embeddings.")
        headers = {"content-type": "application/json", "accept": "application/json", "anthropic-version": VERSION}
        if secret:
            headers["x-api-key"] = secret
        url = backend.base_url.rstrip("/").removesuffix("/v1") + "/v1/messages"
        return HttpRequest(url, headers | backend.headers, encode(messages_body(model, params)))

    def response(self, status: int, headers: Headers, body: bytes) -> CallResult:
        """The answer as a chat completion, or what went wrong."""
        answer = decode(body)
        if not 200 <= status < 300:
            return failure(read_fault(status, answer), headers)
        if not isinstance(answer, dict):
            return unusable(status, headers, "something that is not a JSON object")
        if answer.get("type") == "error":
            return _late_error(status, headers, answer)
        if not isinstance(answer.get("content"), list):
            return unusable(status, headers, "no content")
        return _answered(status, headers, answer)


def _answered(status: int, headers: Headers, answer: dict[str, Any]) -> CallResult:
    message = _message(answer)
    stop = answer.get("stop_reason")
    # A reason that is not known is passed on: it is then neither complete nor taken for something else.
    reason = _FINISH.get(stop, stop) if isinstance(stop, str) else None
    usage = anthropic_usage(answer.get("usage"))
    model = answer.get("model")
    date = http_date(header(headers, "date"))
    body: dict[str, Any] = {
        "id": answer.get("id"),
        "object": "chat.completion",
        "created": int(date.timestamp()) if date else 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
    }
    if usage is not None:
        body["usage"] = _openai_usage(usage)
    return CallResult(
        Outcome.answered,
        status=status,
        body=body,
        headers=headers,
        usage=usage,
        model=model if isinstance(model, str) and model else None,
        finish_reason=reason,
        complete=reason in COMPLETE and bool(message["content"] or message.get("tool_calls")),
    )


def _late_error(status: int, headers: Headers, answer: dict[str, Any]) -> CallResult:
    """An error that came after the status had been sent: its type tells what it is."""
    result = failure(read_fault(502, answer), headers)
    result.status = status
    return result


def _message(answer: dict[str, Any]) -> dict[str, Any]:
    blocks = [block for block in answer["content"] if isinstance(block, dict)]
    texts = [text for block in blocks if block.get("type") == "text" and isinstance(text := block.get("text"), str)]
    calls = [_tool_call(block) for block in blocks if block.get("type") == "tool_use"]
    thoughts = [text for block in blocks if isinstance(text := block.get("thinking"), str)]
    refusal = table(answer.get("stop_details")).get("explanation") if answer.get("stop_reason") == "refusal" else None
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None, "refusal": refusal}
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    return message


def _tool_call(block: dict[str, Any]) -> dict[str, Any]:
    arguments = msgspec.json.encode(table(block.get("input"))).decode()
    return {
        "id": str(block.get("id")),
        "type": "function",
        "function": {"name": str(block.get("name")), "arguments": arguments},
    }


def anthropic_usage(raw: Any) -> Usage | None:
    """The usage object of a message: its input tokens leave out what the cache gave and took."""
    if not isinstance(raw, dict) or not raw:
        return None
    read, written = count(raw.get("cache_read_input_tokens")), count(raw.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=count(raw.get("input_tokens")) + read + written,
        output_tokens=count(raw.get("output_tokens")),
        cached_input_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=count(table(raw.get("output_tokens_details")).get("thinking_tokens")),
        raw=raw,
    )


def _openai_usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
