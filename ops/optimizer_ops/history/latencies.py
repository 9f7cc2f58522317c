"""How long answered requests took, in logarithmic buckets (`sums.py`)."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from time import time as unix_now
from typing import Any

import sqlalchemy as sa

from optimizer_ops.history.conditions import equal, step_of, within
from optimizer_ops.history.spans import Span
from optimizer_ops.history.sums import DAY_S, GROWTH, HOUR_S, KEYS, ms_of
from optimizer_ops.history.tables import daily_latency, hourly_latency, requests

Buckets = Counter[int]

# A quarter of a million rows are counted in a quarter of a second.
LONGEST_COUNTED_S = 8 * DAY_S

_LN_GROWTH = sa.func.ln(sa.literal(GROWTH, sa.Double))
_bucket = sa.case(
    (requests.c.total_ms <= 1, 0),
    else_=sa.cast(sa.func.ceil(sa.func.ln(requests.c.total_ms) / _LN_GROWTH - 1e-9), sa.Integer),
)


def percentile(buckets: Mapping[int, int] | None, share: float) -> float | None:
    """The duration in ms that this share of the requests did not exceed; None if there are none, or nobody knows."""
    rank, seen = share * (sum(buckets.values()) if buckets else 0), 0
    for bucket in sorted(buckets or ()):
        seen += (buckets or {})[bucket]
        if seen >= rank:
            return ms_of(bucket)
    return None


def buckets_by(
    connection: sa.Connection, span: Span, by: Sequence[str], where: Mapping[str, str], *, step_s: float = 0
) -> dict[tuple[Any, ...], Buckets] | None:
    """How many took how long, by names and steps as in `sums_by`.

    The sums of hours and days know one key at a time: for two the rows are counted; None if they have gone in part, or
    the span is longer than `LONGEST_COUNTED_S`.
    """
    found: defaultdict[tuple[Any, ...], Buckets] = defaultdict(Counter)
    parts = span.edges
    if len({*by, *where}) <= 1:
        _add_sums(found, connection, span, by, where, step_s)
    elif span.hours or span.days:
        if _seconds(span) > LONGEST_COUNTED_S or not _kept_since(connection, span):
            return None
        parts = ((span.since, span.until),)
    for part in parts:
        groups = [
            *([step_of(requests.c.asked, span.since, step_s)] if step_s else []),
            *(requests.c[name] for name in by),
        ]
        question = (
            sa.select(*groups, _bucket, sa.func.count())
            .where(
                *within(requests.c.asked, part),
                *equal(requests, where, KEYS),
                requests.c.outcome == "answered",
                requests.c.total_ms.is_not(None),
            )
            .group_by(*groups, _bucket)
        )
        _count(found, connection.execute(question))
    return found


def _add_sums(
    found: dict[tuple[Any, ...], Buckets],
    connection: sa.Connection,
    span: Span,
    by: Sequence[str],
    where: Mapping[str, str],
    step_s: float,
) -> None:
    key = next(iter({*by, *where}), "")
    levels = ((daily_latency, daily_latency.c.day, span.days), (hourly_latency, hourly_latency.c.hour, span.hours))
    for table, time, parts in levels:
        steps = [step_of(time, span.since, step_s)] if step_s else []
        groups = [*steps, *([table.c.name] if by else [])]
        named = [] if key and key not in where else [table.c.name == where.get(key, "")]
        for part in parts:
            question = (
                sa.select(*groups, table.c.bucket, sa.func.sum(table.c.requests))
                .where(table.c.by == key, *named, *within(time, part))
                .group_by(*groups, table.c.bucket)
            )
            _count(found, connection.execute(question))


def _count(found: dict[tuple[Any, ...], Buckets], rows: Any) -> None:
    for *names, bucket, count in rows:
        found[tuple(names)][bucket] += int(count)


def _seconds(span: Span) -> float:
    return min(span.until, unix_now()) - span.since


def _kept_since(connection: sa.Connection, span: Span) -> bool:
    """Whether there are rows of the first hour in which anything happened."""
    table = hourly_latency.c
    first = connection.scalar(
        sa.select(sa.func.min(table.hour)).where(table.by == "", table.name == "", table.hour >= span.since)
    )
    if first is None:
        return True
    hour = within(requests.c.asked, (first, first + HOUR_S))
    return connection.scalar(sa.select(requests.c.id).where(*hour).limit(1)) is not None
