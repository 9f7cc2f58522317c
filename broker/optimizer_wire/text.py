"""The text in a request: for telling its task, and for its size, which events tell instead of the text."""

from typing import Any


def prompt_text(params: dict[str, Any]) -> str:
    """The text that users wrote in a chat body, or the input of an embeddings body."""
    messages = params.get("messages")
    if isinstance(messages, list):
        parts = [content_text(m.get("content")) for m in messages if isinstance(m, dict) and m.get("role") == "user"]
        return "\n".join(parts)
    return content_text(params.get("input"))


def prompt_chars(params: dict[str, Any]) -> int:
    """How many characters of text a body holds in all roles: the size that events tell instead of the text."""
    messages = params.get("messages")
    if isinstance(messages, list):
        return sum(len(content_text(m.get("content"))) for m in messages if isinstance(m, dict))
    return len(content_text(params.get("input")))


def content_text(content: Any) -> str:
    """The text of a message content: text itself, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (
            part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None for part in content
        )
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""
