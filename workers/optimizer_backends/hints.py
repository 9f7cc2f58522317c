"""When to come back, as the response says it."""

import math
from datetime import datetime
from email.utils import parsedate_to_datetime

from optimizer_backends.result import Headers

LONGEST_PAUSE_S = 3600.0
LONGEST_PARK_S = 24 * 3600.0


def header(headers: Headers, name: str) -> str | None:
    """The first header of a name in lower case."""
    return next((value for key, value in headers if key == name), None)


def retry_after_s(status: int, headers: Headers) -> float | None:
    """Seconds until another try makes sense, at most a day; None if the response does not say.

    Only refusals count (429 and 5xx): some providers send `retry-after` with every answer. An HTTP date is measured
    from the response's own `date`, since our clock may differ.
    """
    if status != 429 and status < 500:
        return None
    milliseconds = _number(header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return _clamped(milliseconds / 1000)
    value = header(headers, "retry-after")
    seconds = _number(value)
    if seconds is not None:
        return _clamped(seconds)
    at, now = http_date(value), http_date(header(headers, "date"))
    return _clamped((at - now).total_seconds()) if at and now else None


def should_retry(headers: Headers) -> bool | None:
    """What the backend itself thinks of another try (`x-should-retry`); None if it does not say."""
    return {"true": True, "false": False}.get((header(headers, "x-should-retry") or "").strip().lower())


def http_date(text: str | None) -> datetime | None:
    """The instant of an HTTP date, or None if it is none."""
    try:
        at = parsedate_to_datetime(text) if text else None
    except (ValueError, TypeError, OverflowError):
        return None
    # Without a zone it cannot be compared; HTTP dates always have one.
    return at if at and at.tzinfo else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _clamped(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_PARK_S)
