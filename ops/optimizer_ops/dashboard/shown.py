"""Numbers, money and times as people read them on the pages. Pure."""

import datetime as dt
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

NOTHING = "–"
_SIZES = (("kB", 1e3), ("MB", 1e6), ("GB", 1e9))
_UNITS = (("k", 1e3), ("M", 1e6), ("G", 1e9))


def count(number: float | None) -> str:
    """A whole number: `1,204`, `12.3 k`, `4.56 M`."""
    if number is None:
        return NOTHING
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    unit, size = next(((unit, size) for unit, size in _UNITS if abs(number) < size * 999.5), _UNITS[-1])
    scaled = number / size
    return f"{scaled:.{1 if abs(scaled) >= 10 else 2}f} {unit}" if abs(scaled) < 99.95 else f"{scaled:,.0f} {unit}"


def exact(number: float | None) -> str:
    """A whole number with all its digits."""
    return NOTHING if number is None else f"{number:,.0f}"


def money(usd: float | None) -> str:
    """US dollars, with as many digits as tell something: `$1,204`, `$12.35`, `$0.0041`."""
    if usd is None:
        return NOTHING
    size = abs(usd)
    if size >= 1_000:
        return f"${usd:,.0f}"
    if size >= 0.1 or size == 0:
        return f"${usd:,.2f}"
    if size >= 0.000_1:
        return f"${usd:.4f}"
    return f"${usd:.6f}" if size >= 0.000_001 else "< $0.000001"


def share(part: float | None) -> str:
    """A share as percent: `37 %`, `0.4 %`."""
    if part is None:
        return NOTHING
    percent = part * 100
    if percent == 0 or 10 <= percent < 99 or percent >= 99.95:
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 0.1 else "< 0.1 %"


def ms(value: float | None) -> str:
    """A duration from milliseconds: `0.4 ms`, `120 ms`, `1.25 s`, `3.1 min`."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value:.1f} ms"
    if value < 1_000:
        return f"{value:.0f} ms"
    if value < 10_000:
        return f"{value / 1_000:.2f} s"
    return seconds(value / 1_000)


def seconds(value: float | None) -> str:
    """A duration from seconds: `12 s`, `5 min`, `3.2 h`, `5 days`."""
    if value is None:
        return NOTHING
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    if value < 7_200:
        return f"{value / 60:.0f} min"
    if value < 172_800:
        return f"{value / 3_600:.1f} h"
    return f"{value / 86_400:.0f} days"


def ago(at: float | None, now: float) -> str:
    """How long ago, or in how long."""
    if at is None:
        return NOTHING
    gone = now - at
    if abs(gone) < 1.5:
        return "now"
    return f"{seconds(gone)} ago" if gone > 0 else f"in {seconds(-gone)}"


def clock(at: float | None) -> str:
    """A moment in the server's time zone: the time, and the day if it is not today's."""
    if at is None:
        return NOTHING
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
        return NOTHING
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def size(bytes_: int) -> str:
    """A size: `812 B`, `14.2 kB`, `3.1 MB`, `2.0 GB`."""
    if bytes_ < 1_000:
        return f"{bytes_} B"
    unit, one = next(((unit, one) for unit, one in _SIZES if bytes_ < one * 999.95), _SIZES[-1])
    return f"{bytes_ / one:.1f} {unit}"


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "exact": exact,
    "money": money,
    "share": share,
    "ms": ms,
    "seconds": seconds,
    "ago": ago,
    "clock": clock,
    "iso": iso,
    "zone": zone,
    "with": with_,
    "bytes": size,
    "kind": kind,
    "cut": cut,
}
