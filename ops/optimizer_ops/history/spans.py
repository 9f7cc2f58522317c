"""Spans of time, cut into whole hours, of which there are sums, and edges, for which rows are added up. Pure."""

import math
from collections.abc import Callable

import msgspec

from optimizer_ops.history.sums import HOUR_S, hour_of


class Span(msgspec.Struct, frozen=True):
    """From `since` to before `until` (Unix seconds; infinite: to the end).

    `hours` are whole hours, from and to before; `edges` what of the span lies outside of them, each in one hour. Where
    the rows of an edge have gone the span was widened to its whole hour.
    """

    since: float
    until: float
    hours: tuple[float, float] | None
    edges: tuple[tuple[float, float], ...]


def span_of(since: float, until: float | None, kept: Callable[[int], bool]) -> Span:
    """The span, cut; `kept` says whether all rows of the hour that begins then are still there."""
    end = math.inf if until is None else until
    if end <= since:
        return Span(since, since, None, ())
    if not _whole(since) and not kept(hour_of(since)):
        since = hour_of(since)
    if not _whole(end) and not kept(hour_of(end)):
        end = hour_of(end) + HOUR_S
    first = since if _whole(since) else hour_of(since) + HOUR_S
    last = end if _whole(end) else hour_of(end)
    if last < first:
        return Span(since, end, None, ((since, end),))
    edges = tuple((low, high) for low, high in ((since, first), (last, end)) if low < high)
    return Span(since, end, (first, last) if first < last else None, edges)


def _whole(at: float) -> bool:
    return math.isinf(at) or at == hour_of(at)
