"""What of a request decides its answer: the last user message, the model, the wanted length, tools. Pure."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

Protocol = Literal["openai", "anthropic"]

CHARS_PER_TOKEN = 4


class BadRequest(ValueError):
    """The body cannot be answered; the message says why."""


class _Body(msgspec.Struct):
    """The fields looked at; everything else is accepted and ignored, as providers do."""

    model: str = ""
    messages: Any = None
    input: Any = None
    system: Any = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    stream: bool | None = False
    stream_options: Any = None
    tools: Any = None
    tool_choice: Any = None
    encoding_format: str | None = None
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A request, reduced. `echo` is what the answer repeats; `inputs` are the texts of an embedding request."""

    op: Literal["chat", "embed"]
    model: str
    echo: str
    prompt_tokens: int
    max_tokens: int | None = None
    choices: int = 1
    stream: bool = False
    stream_usage: bool = False
    tool: str | None = None
    inputs: tuple[str, ...] = ()
    base64: bool = False
    dimensions: int | None = None


_decoder = msgspec.json.Decoder(_Body)


def echo_of(text: str) -> str:
    """The mark by which an answer is known to belong to a question: 16 hex digits of the SHA-256 of its text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def count_tokens(text: str) -> int:
    """About four characters a token, rounded up."""
    return -(-len(text) // CHARS_PER_TOKEN)


def text_of(content: Any) -> str:
    """The text of a message's content: the string, or its text parts put together."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) if isinstance(part, dict) else str(part) for part in content)
    return ""


def read_chat(body: bytes, protocol: Protocol) -> Question:
    """The question in a chat body. Raises BadRequest."""
    fields = _decode(body)
    messages = fields.messages
    if not isinstance(messages, list) or not messages or not all(isinstance(item, dict) for item in messages):
        raise BadRequest("messages: a non-empty list of objects is required")
    last = next((item for item in reversed(messages) if item.get("role") == "user"), messages[-1])
    chars = sum(len(text_of(item.get("content"))) for item in messages) + len(text_of(fields.system))
    max_tokens = fields.max_completion_tokens if fields.max_completion_tokens is not None else fields.max_tokens
    if protocol == "anthropic" and max_tokens is None:
        raise BadRequest("max_tokens: Field required")
    if max_tokens is not None and max_tokens < 1:
        raise BadRequest("max_tokens: must be at least 1")
    options = fields.stream_options
    return Question(
        op="chat",
        model=fields.model,
        echo=echo_of(text_of(last.get("content"))),
        prompt_tokens=-(-chars // CHARS_PER_TOKEN),
        max_tokens=max_tokens,
        choices=fields.n or 1,
        stream=bool(fields.stream),
        stream_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        tool=_wanted_tool(fields.tools, fields.tool_choice),
    )


def read_embed(body: bytes) -> Question:
    """The question in an embeddings body. Raises BadRequest."""
    fields = _decode(body)
    given = fields.input
    if isinstance(given, str) or (isinstance(given, list) and given and all(isinstance(item, int) for item in given)):
        given = [given]
    if not isinstance(given, list) or not given:
        raise BadRequest("input: a text, a list of texts or tokens is required")
    inputs = tuple(item if isinstance(item, str) else repr(item) for item in given)
    return Question(
        op="embed",
        model=fields.model,
        echo=echo_of("\n".join(inputs)),
        prompt_tokens=sum(count_tokens(item) if isinstance(item, str) else len(item) for item in given),
        inputs=inputs,
        base64=fields.encoding_format == "base64",
        dimensions=fields.dimensions,
    )


def _decode(body: bytes) -> _Body:
    try:
        fields = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body cannot be read: {error}") from error
    if not fields.model:
        raise BadRequest("model: Field required")
    return fields


def _wanted_tool(tools: Any, choice: Any) -> str | None:
    """The tool that the request insists on, in either protocol's words."""
    if not isinstance(tools, list) or not tools or not isinstance(tools[0], dict):
        return None
    if choice == "required" or (isinstance(choice, dict) and choice.get("type") == "any"):
        first = tools[0]
        return str(first.get("function", first).get("name", "tool"))
    if isinstance(choice, dict) and choice.get("type") in {"function", "tool"}:
        return str(choice.get("function", choice).get("name", "tool"))
    return None
