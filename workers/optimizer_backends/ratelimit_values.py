"""The values that rate-limit headers have: counts, and times in half a dozen forms. Pure; nonsense is None."""

import re
from datetime import datetime, timedelta

# What no provider allows in any window; larger numbers mean something else.
_LARGEST = 10**15
_LONGEST_S = 40 * 86400.0
_EPOCH_S = 1e9

_COUNT = re.compile(r"([0-9]{1,16})(?:\.[0-9]{1,9})?")
_PIECE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(d|h|ms|m|us|µs|ns|s)")
_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def count(text: str | None) -> int | None:
    """A count of zero or more; None for what is negative, absurd, or no number."""
    found = _COUNT.fullmatch(text.strip()) if text else None
    number = int(found[1]) if found else None
    return number if number is not None and number <= _LARGEST else None


def seconds(text: str | None, date: datetime | None) -> float | None:
    """How many seconds from now a time is, 0 if it has passed.

    Bare numbers are seconds, or the Unix time if they are that large; `6m0s` and `130ms` are durations; RFC 3339 is an
    instant. Instants are measured from `date`, the response's own, since our clock may differ; without it: None.
    """
    if not text or len(text) > 64:
        return None
    text = text.strip()
    number = _number(text)
    if number is not None:
        if number < 0:
            return None
        if number > _EPOCH_S:
            return _bounded(number - date.timestamp()) if date else None
        return _bounded(number)
    if (duration := _duration(text)) is not None:
        return _bounded(duration)
    return _until(text, date) if date else None


def _number(text: str) -> float | None:
    # Python's own idea of a number is wider than that of a header: 1_000, nan.
    return float(text) if re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", text) else None


def _duration(text: str) -> float | None:
    pieces = _PIECE.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in pieces)


def _until(text: str, date: datetime) -> float | None:
    try:
        at = datetime.fromisoformat(text)
        return _bounded((at - date) / timedelta(seconds=1)) if at.tzinfo else None
    except (ValueError, OverflowError, TypeError):
        return None


def _bounded(number: float) -> float | None:
    return max(0.0, number) if number <= _LONGEST_S else None


def items(text: str | None) -> list[tuple[list[str], dict[str, str]]]:
    """The items of an IETF structured field: of each, its names and its parameters.

    It forgives a quotation mark that is missing or too much, as gateways write them.
    """
    found: list[tuple[list[str], dict[str, str]]] = []
    for item in (text or "")[:1000].split(","):
        names: list[str] = []
        parameters: dict[str, str] = {}
        for part in item.split(";"):
            name, equals, value = part.partition("=")
            if equals and '"' not in name:
                parameters[name.strip()] = value.strip().strip('"')
            elif word := part.strip().strip('"').strip():
                names.append(word)
        found.append((names, parameters))
    return found
