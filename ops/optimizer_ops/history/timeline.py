"""Sums by steps of time."""

import math
import time
from collections import Counter
from collections.abc import Mapping

import sqlalchemy as sa

from optimizer_ops.history.latencies import buckets_by
from optimizer_ops.history.spans import Span, days_of, hours_of
from optimizer_ops.history.sums import DAY_S, HOUR_S, hour_of
from optimizer_ops.history.totals import kept, sums_by, totals_of
from optimizer_ops.history.views import Point

MOST_POINTS = 10_000
LONGEST_FINE_S = 3 * DAY_S


def timeline(
    connection: sa.Connection, since: float, until: float | None, step_s: float, where: Mapping[str, str]
) -> list[Point]:
    """The sums of each step. Steps begin at multiples of `step_s` (Unix time), the first of them at or before `since`.

    Steps of an hour and more are whole hours. Shorter ones, for which rows are counted, become hours where rows have
    gone, and in spans of more than `LONGEST_FINE_S`.

    :raises ValueError: if that is no step, or more than `MOST_POINTS` of them.
    """
    if not step_s > 0:
        raise ValueError("The step of a timeline is a time greater than 0 s.")
    end = time.time() if until is None else until
    if step_s < HOUR_S and (end - since > LONGEST_FINE_S or not kept(connection, hour_of(since))):
        step_s = HOUR_S
    if step_s >= HOUR_S:
        step_s = math.ceil(step_s / HOUR_S) * HOUR_S
    first = math.floor(since / step_s) * step_s
    number = max(0, math.ceil((end - first) / step_s))
    if number > MOST_POINTS:
        raise ValueError(f"That would be {number:,} steps, and {MOST_POINTS:,} are possible: take a longer step.")
    last = first + number * step_s
    span = _span(first, last, step_s)
    sums = sums_by(connection, span, (), where, step_s=step_s)
    buckets = buckets_by(connection, span, (), where, step_s=step_s)
    return [
        Point(
            at=first + step * step_s,
            totals=totals_of(
                sums.get((step,), Counter()), None if buckets is None else buckets.get((step,), Counter())
            ),
        )
        for step in range(number)
    ]


def _span(first: float, last: float, step_s: float) -> Span:
    if step_s < HOUR_S:
        return Span(first, last, edges=((first, last),))
    return hours_of(first, last) if step_s % DAY_S else days_of(first, last)
