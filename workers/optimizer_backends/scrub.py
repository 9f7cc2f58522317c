"""What of a backend's own words may be shown: nothing that looks like a key, nothing of the prompt."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

LONGEST = 240
_KEY = re.compile(
    r"\b(sk|gsk|csk|xai|pk|rk|hf|nvapi)[-_][\w*-]{6,}|\bbearer [\w*.-]{6,}|\bAIza[\w-]{20,}|[\w+/=*-]{40,}",
    re.IGNORECASE,
)
# A quoted piece of the prompt is found if it has at least twice this length: windows start at multiples of it.
_WINDOW = 12
_SHORT = 8
# A piece of a secret of this length is enough to hide what holds it: a message may break off in the middle of a key.
_PIECE = 8


class Secrets:
    """What a backend must not say back: its key, and the values of headers that are configured for it."""

    def __init__(self, texts: Iterable[str]) -> None:
        lower = {text.lower() for text in texts if len(text) >= _PIECE}
        self._pieces = {text[at : at + _PIECE] for text in lower for at in range(len(text) - _PIECE + 1)}

    def are_in(self, text: str) -> bool:
        """Whether a text shows a secret or a piece of one, in whatever case."""
        lower = text.lower()
        return any(piece in lower for piece in self._pieces)

    def __repr__(self) -> str:
        return "Secrets(***)"


def safe_text(text: str) -> str:
    """A backend's message on one line, short, without what looks like a key."""
    line = _KEY.sub("***", " ".join(text.split()))
    line = "".join(character for character in line if character.isprintable())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def quotes_prompt(message: str, params: dict[str, Any]) -> bool:
    """Whether a message repeats a piece of the request's content: 24 characters in a row, or a whole short text."""
    windows = [message[at : at + _WINDOW] for at in range(0, max(1, len(message) - _WINDOW + 1), _WINDOW)]
    for text in _contents(params):
        if len(text) >= 2 * _WINDOW:
            joined = " ".join(text.split())
            if any(_echo(message, at * _WINDOW, joined) for at, window in enumerate(windows) if window in joined):
                return True
        elif len(text) >= _SHORT and text in message:
            return True
    return False


def _echo(message: str, at: int, text: str) -> bool:
    """Whether the match at a window grows to twice its length, to either side."""
    return any(
        message[start : start + 2 * _WINDOW] in text
        for start in range(max(0, at - _WINDOW), at + 1)
        if start + 2 * _WINDOW <= len(message)
    )


def _contents(params: dict[str, Any]) -> Iterator[str]:
    for key in ("messages", "input", "prompt"):
        yield from _texts(params.get(key))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in {"role", "type"}:
                yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
