"""Spans of time, cut into days and hours, of which there are sums, and edges, for which rows are added up. Pure."""

import math
from collections.abc import Callable

import msgspec

from optimizer_ops.history.sums import DAY_S, HOUR_S, day_of, hour_of

Part = tuple[float, float]


class Span(msgspec.Struct, frozen=True):
    """From `since` to before `until` (Unix seconds; infinite: to the end), and what it consists of.

    `days` are whole days, `hours` whole hours beside them, from and to before; `edges` are the rest. Where the rows of
    an edge have gone the span was widened to its whole hour.
    """

    since: float
    until: float
    days: tuple[Part, ...] = ()
    hours: tuple[Part, ...] = ()
    edges: tuple[Part, ...] = ()


def span_of(since: float, until: float | None, kept: Callable[[int], bool]) -> Span:
    """The span, cut; `kept` says whether all rows of the hour that begins then are still there."""
    end = math.inf if until is None else until
    if end <= since:
        return Span(since, since)
    if not _whole(since, HOUR_S) and not kept(hour_of(since)):
        since = hour_of(since)
    if not _whole(end, HOUR_S) and not kept(hour_of(end)):
        end = hour_of(end) + HOUR_S
    first = since if _whole(since, HOUR_S) else hour_of(since) + HOUR_S
    last = end if _whole(end, HOUR_S) else hour_of(end)
    if last < first:
        return Span(since, end, edges=((since, end),))
    days, hours = _days(first, last)
    return Span(since, end, days, hours, _parts((since, first), (last, end)))


def hours_of(since: float, until: float) -> Span:
    """Whole hours alone."""
    return Span(since, until, hours=_parts((since, until)))


def days_of(since: float, until: float) -> Span:
    """Whole days alone."""
    return Span(since, until, days=_parts((since, until)))


def _days(first: float, last: float) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Whole hours as days, and hours beside them."""
    first_day = first if _whole(first, DAY_S) else day_of(first) + DAY_S
    last_day = last if _whole(last, DAY_S) else day_of(last)
    if last_day <= first_day:
        return (), _parts((first, last))
    return ((first_day, last_day),), _parts((first, first_day), (last_day, last))


def _parts(*parts: Part) -> tuple[Part, ...]:
    return tuple(part for part in parts if part[0] < part[1])


def _whole(at: float, length_s: int) -> bool:
    return math.isinf(at) or at % length_s == 0
