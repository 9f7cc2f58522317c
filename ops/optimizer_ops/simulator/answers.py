"""The answer to a question: a function of the request alone, so that a test can tell whose answer it is. Pure."""

import base64
import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optimizer_ops.simulator.question import CHARS_PER_TOKEN, Question, count_tokens

_FILLER = "the quick brown fox jumps over the lazy dog while seven agents wait for one answer and share it "


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model "says". `cut` is true when `max_tokens` ended it."""

    text: str
    completion_tokens: int
    cut: bool
    tool: str | None = None


def answer_to(question: Question, wanted_tokens: int) -> Answer:
    """`echo:<16 hex digits>` and filler words up to `wanted_tokens`, or a call of the wanted tool."""
    if question.tool is not None:
        arguments = f'{{"echo":"{question.echo}"}}'
        return Answer(arguments, count_tokens(arguments), cut=False, tool=question.tool)
    head = f"echo:{question.echo}"
    chars = max(wanted_tokens * CHARS_PER_TOKEN - len(head) - 1, 0)
    text = head if chars == 0 else f"{head} {_FILLER * (chars // len(_FILLER))}{_FILLER[: chars % len(_FILLER)]}"
    tokens = count_tokens(text)
    if question.max_tokens is None or tokens <= question.max_tokens:
        return Answer(text, tokens, cut=False)
    return Answer(text[: question.max_tokens * CHARS_PER_TOKEN], question.max_tokens, cut=True)


def openai_usage(question: Question, answer: Answer) -> dict[str, Any]:
    """The usage object of a chat completion."""
    completion = answer.completion_tokens * question.choices
    return {
        "prompt_tokens": question.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": question.prompt_tokens + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def finish_reason(answer: Answer) -> str:
    """Why an OpenAI answer ended."""
    return "tool_calls" if answer.tool else "length" if answer.cut else "stop"


def stop_reason(answer: Answer) -> str:
    """Why an Anthropic answer ended."""
    return "tool_use" if answer.tool else "max_tokens" if answer.cut else "end_turn"


def openai_chat(question: Question, answer: Answer, ident: str, created: int) -> dict[str, Any]:
    """A `chat.completion`."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool:
        message |= {"content": None, "tool_calls": [tool_call(answer, ident)]}
    reason = finish_reason(answer)
    return {
        "id": f"chatcmpl-{ident}",
        "object": "chat.completion",
        "created": created,
        "model": question.model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
            for index in range(question.choices)
        ],
        "usage": openai_usage(question, answer),
        "system_fingerprint": "fp_simulated",
    }


def tool_call(answer: Answer, ident: str) -> dict[str, Any]:
    """The one tool call of an answer."""
    return {"id": f"call_{ident}", "type": "function", "function": {"name": answer.tool, "arguments": answer.text}}


def anthropic_message(question: Question, answer: Answer, ident: str) -> dict[str, Any]:
    """A `message`."""
    block: dict[str, Any] = {"type": "text", "text": answer.text}
    if answer.tool:
        block = {"type": "tool_use", "id": f"toolu_{ident}", "name": answer.tool, "input": {"echo": question.echo}}
    return {
        "id": f"msg_{ident}",
        "type": "message",
        "role": "assistant",
        "model": question.model,
        "content": [block],
        "stop_reason": stop_reason(answer),
        "stop_sequence": None,
        "usage": anthropic_usage(question, answer.completion_tokens),
    }


def anthropic_usage(question: Question, output_tokens: int) -> dict[str, Any]:
    """The usage object of a message."""
    return {
        "input_tokens": question.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def embeddings(question: Question, size: int) -> dict[str, Any]:
    """An embeddings list: one unit vector for each input, a function of its text."""
    vectors = [_vector(text, question.dimensions or size) for text in question.inputs]
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if question.base64 else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": question.model,
        "usage": {"prompt_tokens": question.prompt_tokens, "total_tokens": question.prompt_tokens},
    }


def models(names: Sequence[str]) -> dict[str, Any]:
    """The list of models."""
    return {"object": "list", "data": [model(name) for name in names]}


def model(name: str) -> dict[str, Any]:
    """One model, in the fields of both protocols."""
    created = "2026-01-01T00:00:00Z"
    openai = {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "simulator"}
    return openai | {"type": "model", "display_name": name, "created_at": created}


def _vector(text: str, size: int) -> list[float]:
    raw = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * size)
    parts = [value / 2**31 for value in struct.unpack(f"<{size}i", raw)]
    length = math.sqrt(sum(part * part for part in parts)) or 1.0
    return [part / length for part in parts]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
