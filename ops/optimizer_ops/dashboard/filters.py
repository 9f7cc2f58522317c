"""The filters of the templates: numbers, money and times as people read them. Pure."""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from optimizer_ops.formatting.sums import cost, saved
from optimizer_ops.formatting.units import UNKNOWN, dollars, duration, milliseconds, percent, size

_UNITS = (("k", 1e3), ("M", 1e6), ("G", 1e9))


def count(number: float | None) -> str:
    """A whole number: `1,204`, `12.3 k`, `4.56 M`."""
    if number is None:
        return UNKNOWN
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    unit, one = next(((unit, one) for unit, one in _UNITS if abs(number) < one * 999.5), _UNITS[-1])
    scaled = number / one
    return f"{scaled:.{1 if abs(scaled) >= 10 else 2}f} {unit}" if abs(scaled) < 99.95 else f"{scaled:,.0f} {unit}"


def exact(number: float | None) -> str:
    """A whole number with all its digits."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def ago(at: float | None, now: float) -> str:
    """How long ago, or in how long."""
    if at is None:
        return UNKNOWN
    gone = now - at
    if abs(gone) < 1.5:
        return "now"
    return f"{duration(gone)} ago" if gone > 0 else f"in {duration(-gone)}"


def clock(at: float | None) -> str:
    """A moment in the server's time zone: the time, and the day if it is not today's."""
    if at is None:
        return UNKNOWN
    local = time.localtime(at)
    today = time.localtime()
    form = "%H:%M:%S" if local[:3] == today[:3] else "%d %b %H:%M" if local[0] == today[0] else "%d %b %Y"
    return time.strftime(form, local)


def iso(at: float) -> str:
    """A moment for `<time datetime>` and for pointing at."""
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="seconds")


def zone(at: float) -> str:
    """The server's time zone at a moment: `UTC`, `CET`."""
    return time.strftime("%Z", time.localtime(at))


def with_(query: Mapping[str, Any], **more: Any) -> str:
    """A query string of these values, those that are empty left out."""
    return urlencode({name: value for name, value in {**query, **more}.items() if value})


def kind(type_: str) -> str:
    """The type of an event without what all have in common."""
    return type_.removeprefix("optimizer.")


def cut(text: str | None, longest: int = 60) -> str:
    """Text that is not longer than so many characters."""
    if not text:
        return UNKNOWN
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "exact": exact,
    "money": dollars,
    "cost": cost,
    "saved": saved,
    "share": percent,
    "ms": milliseconds,
    "seconds": duration,
    "ago": ago,
    "clock": clock,
    "iso": iso,
    "zone": zone,
    "with": with_,
    "bytes": size,
    "kind": kind,
    "cut": cut,
}
