"""OpenAI messages as Anthropic's system text and messages of content blocks."""

import re
from typing import Any

import msgspec

from optimizer_backends.family import Untranslatable
from optimizer_backends.outcome import Outcome

Block = dict[str, Any]
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,(.*)", re.DOTALL)
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")


def conversation(messages: Any) -> tuple[list[Block], list[dict[str, Any]]]:
    """The system blocks and the turns of a conversation.

    System messages are taken to the front, wherever they stand. Neighbouring turns of one role become one, so that
    all results of parallel tool calls stand together, as Anthropic wants them.

    :raises Untranslatable: if these are no messages, or hold what Anthropic cannot take.
    """
    if not isinstance(messages, list | tuple) or not messages:
        raise Untranslatable(Outcome.invalid, "A chat needs a list of messages.")
    system: list[Block] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise Untranslatable(Outcome.invalid, "Every message must be an object with a role.")
        role = message["role"]
        if role in {"system", "developer"}:
            system += _blocks(message.get("content"))
            continue
        speaker = "assistant" if role == "assistant" else "user"
        if blocks := _turn(role, message):
            if turns and turns[-1]["role"] == speaker:
                turns[-1]["content"] += blocks
            else:
                turns.append({"role": speaker, "content": blocks})
    return system, turns


def _turn(role: str, message: dict[str, Any]) -> list[Block]:
    if role in {"tool", "function"}:
        return [_tool_result(message)]
    if role != "assistant":
        return _blocks(message.get("content"))
    calls = message.get("tool_calls")
    blocks = _blocks(message.get("content"))
    blocks += [_tool_use(call, call.get("id")) for call in calls or () if isinstance(call, dict)]
    if isinstance(legacy := message.get("function_call"), dict):
        blocks.append(_tool_use({"function": legacy}, legacy.get("name")))
    return blocks


def _tool_result(message: dict[str, Any]) -> Block:
    content = message.get("content")
    identity = message.get("tool_call_id") or message.get("name")
    result = {"type": "tool_result", "tool_use_id": _tool_id(identity)}
    return result | {"content": content if isinstance(content, str) else _blocks(content)}


def _tool_use(call: dict[str, Any], identity: Any) -> Block:
    called = call.get("function")
    function = called if isinstance(called, dict) else call
    return {
        "type": "tool_use",
        "id": _tool_id(identity),
        "name": function.get("name"),
        "input": _arguments(function.get("arguments")),
    }


def _arguments(text: Any) -> dict[str, Any]:
    """Arguments as the object that Anthropic requires. What a model wrote need not be JSON: it is kept as text."""
    if isinstance(text, dict):
        return text
    try:
        value = msgspec.json.decode(text) if text else {}
    except (ValueError, TypeError, RecursionError):
        value = text
    return value if isinstance(value, dict) else {"arguments": value}


def _tool_id(identity: Any) -> str:
    """An id in Anthropic's alphabet: a conversation may have begun at another backend."""
    return _NOT_IN_IDS.sub("_", str(identity or "call"))


def _blocks(content: Any) -> list[Block]:
    """Content as blocks; empty text is left out, because Anthropic refuses it."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list | tuple):
        return []
    return [block for part in content if (block := _block(part)) is not None]


def _block(part: Any) -> Block | None:
    if isinstance(part, str):
        return {"type": "text", "text": part} if part else None
    if not isinstance(part, dict):
        raise Untranslatable(Outcome.invalid, "A part of a message's content must be an object.")
    kind = part.get("type")
    if kind == "text":
        return part if part.get("text") else None
    if kind == "refusal":
        return {"type": "text", "text": part["refusal"]} if part.get("refusal") else None
    if kind == "image_url":
        return _with_rest({"type": "image", "source": _source(part.get("image_url"))}, part, "image_url")
    if kind == "file":
        return _with_rest({"type": "document", "source": _file(part.get("file"))}, part, "file")
    if kind in ("input_audio", "video_url"):
        raise Untranslatable(Outcome.unknown_model, "The Anthropic protocol takes neither audio nor video.")
    return part  # a native block


def _with_rest(block: Block, part: dict[str, Any], translated: str) -> Block:
    """The block with what else the part says, such as `cache_control`."""
    return block | {name: value for name, value in part.items() if name not in {"type", translated}}


def _source(image: Any) -> Block:
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url:
        raise Untranslatable(Outcome.invalid, "An image needs a URL.")
    return _data(url) if url.startswith("data:") else {"type": "url", "url": url}


def _file(file: Any) -> Block:
    told = file if isinstance(file, dict) else {}
    if isinstance(identity := told.get("file_id"), str):
        return {"type": "file", "file_id": identity}
    if isinstance(data := told.get("file_data"), str):
        return _data(data)
    raise Untranslatable(Outcome.invalid, "A file needs file_data or file_id.")


def _data(url: str) -> Block:
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise Untranslatable(Outcome.invalid, "A data URL must be encoded in base64 and name its media type.")
    return {"type": "base64", "media_type": found[1], "data": found[2]}
