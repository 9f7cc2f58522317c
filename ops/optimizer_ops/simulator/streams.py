"""An answer as server-sent events, in both protocols. Pure: a list of events, each ready to be written."""

from typing import Any

import msgspec

from optimizer_ops.simulator.answers import (
    Answer,
    anthropic_usage,
    finish_reason,
    openai_usage,
    stop_reason,
    tool_call,
)
from optimizer_ops.simulator.question import CHARS_PER_TOKEN, Question
from optimizer_ops.simulator.spec import HeaderStyle

_PIECE_CHARS = 4 * CHARS_PER_TOKEN
PIECE_TOKENS = _PIECE_CHARS // CHARS_PER_TOKEN
"""How many tokens one piece of a streamed answer has; per-token latency is slept once a piece."""

DONE = b"data: [DONE]\n\n"
_encode = msgspec.json.encode


def pieces(text: str) -> list[str]:
    """The text in the pieces in which it is streamed."""
    return [text[start : start + _PIECE_CHARS] for start in range(0, len(text), _PIECE_CHARS)]


def data(value: Any) -> bytes:
    """One event without a name, as OpenAI sends them."""
    return b"data: " + _encode(value) + b"\n\n"


def named(value: dict[str, Any]) -> bytes:
    """One event named by its type, as Anthropic sends them."""
    return b"event: " + str(value["type"]).encode() + b"\n" + data(value)


def openai_events(question: Question, answer: Answer, ident: str, created: int, style: HeaderStyle) -> list[bytes]:
    """The chunks of a chat completion: role, pieces, reason, usage if asked for, `[DONE]`."""

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        head = {"id": f"chatcmpl-{ident}", "object": "chat.completion.chunk", "created": created}
        return data({**head, "model": question.model, "choices": choices, **more})

    def choice(delta: dict[str, Any], reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]

    usage = openai_usage(question, answer)
    last: dict[str, Any] = {}
    if style == "groq":
        last = {"x_groq": {"id": f"req_{ident}", "usage": usage}}
    elif style == "mistral":
        last = {"usage": usage}
    if answer.tool:
        call = {"index": 0, **tool_call(answer, ident)}
        events = [chunk(choice({"role": "assistant", "content": None, "tool_calls": [call]}))]
    else:
        events = [chunk(choice({"role": "assistant", "content": ""}))]
        events += [chunk(choice({"content": piece})) for piece in pieces(answer.text)]
    events.append(chunk(choice({}, finish_reason(answer)), **last))
    if question.stream_usage:
        events.append(chunk([], usage=usage))
    return [*events, DONE]


def anthropic_events(question: Question, answer: Answer, ident: str) -> list[bytes]:
    """The events of a message: start, block, pieces, stop."""
    empty = {"id": f"msg_{ident}", "type": "message", "role": "assistant", "model": question.model, "content": []}
    start = {**empty, "stop_reason": None, "stop_sequence": None, "usage": anthropic_usage(question, 1)}
    block: dict[str, Any] = {"type": "text", "text": ""}
    deltas: list[dict[str, Any]] = [{"type": "text_delta", "text": piece} for piece in pieces(answer.text)]
    if answer.tool:
        block = {"type": "tool_use", "id": f"toolu_{ident}", "name": answer.tool, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(answer.text)]
    ending = {"stop_reason": stop_reason(answer), "stop_sequence": None}
    return [
        named({"type": "message_start", "message": start}),
        named({"type": "content_block_start", "index": 0, "content_block": block}),
        named({"type": "ping"}),
        *(named({"type": "content_block_delta", "index": 0, "delta": delta}) for delta in deltas),
        named({"type": "content_block_stop", "index": 0}),
        named({"type": "message_delta", "delta": ending, "usage": {"output_tokens": answer.completion_tokens}}),
        named({"type": "message_stop"}),
    ]
