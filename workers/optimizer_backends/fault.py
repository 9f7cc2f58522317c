"""Reading the many shapes in which backends say that something went wrong."""

import re
from typing import Any

import msgspec

_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_WORD_KEYS = ("code", "type", "status", "error_type", "error_code", "reason")


class Fault(msgspec.Struct, frozen=True):
    """An error as the backend told it.

    `words` are its codes and types, `text` its own message (it may quote the request: see `scrub`), `quotas` the
    quotas that Google names as violated, `delay_s` the pause that Google asks for.
    """

    status: int
    words: tuple[str, ...] = ()
    text: str = ""
    quotas: tuple[str, ...] = ()
    delay_s: float | None = None

    @property
    def signature(self) -> str:
        """The kind of this error in a few words: `429 rate_limit_exceeded tokens`."""
        words = [word for word in self.words if word != str(self.status)]
        return " ".join([str(self.status), *words[:3]])


def read_fault(status: int, answer: Any) -> Fault:
    """The error in a response body, of whatever shape; an empty one if there is none."""
    if isinstance(answer, list):  # Gemini's compatible endpoint wraps the error in a list
        answer = next((entry for entry in answer if isinstance(entry, dict)), None)
    if not isinstance(answer, dict):
        return Fault(status)
    inner = answer.get("error")
    error = inner if isinstance(inner, dict) else answer
    texts = [_text(error.get("message")) or _text(error.get("detail"))]
    if isinstance(inner, str):  # Ollama: {"error": "text"}; xAI: {"code": "a sentence", "error": "text"}
        texts.insert(0, inner)
    words: list[str] = []
    for source in (error, *_details(error)):
        _collect(source, words, texts)
    quotas, delay = _google(error)
    if isinstance(metadata := error.get("metadata"), dict):  # OpenRouter
        texts.append("flagged by moderation" if metadata.get("flagged_input") else _text(metadata.get("raw")))
    return Fault(status, tuple(dict.fromkeys(words)), " ".join(filter(None, texts)), quotas, delay)


def _collect(source: dict[str, Any], words: list[str], texts: list[str]) -> None:
    for key in _WORD_KEYS:
        value = source.get(key)
        word = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        if word == "error":
            continue
        if _WORD.fullmatch(word):
            words.append(word.lower())
        elif word:
            texts.append(word)


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    if isinstance(details, dict):
        return [details]
    return [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []


def _google(error: dict[str, Any]) -> tuple[tuple[str, ...], float | None]:
    quotas: list[str] = []
    delay: float | None = None
    for detail in _details(error):
        found = detail.get("violations")
        violations = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        quotas += [quota for violation in violations if isinstance(quota := violation.get("quotaId"), str)]
        if isinstance(wait := detail.get("retryDelay"), str):
            delay = _duration_s(wait)
    return tuple(quotas), delay


def _duration_s(text: str) -> float | None:
    """The seconds of a protobuf duration: `22s`, `0.5s`."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", text)
    return float(found[1]) if found else None


def _text(value: Any) -> str:
    """Text as it is; what is nested (validation errors echo the request) is left out."""
    return value if isinstance(value, str) else ""
