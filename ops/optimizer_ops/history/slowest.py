"""Finds the slowest requests: an hour is looked at only if its slowest answer may be one of them."""

import heapq
import math
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from optimizer_ops.history.conditions import Condition, in_failed_index, within
from optimizer_ops.history.rows import rows_of
from optimizer_ops.history.spans import Part
from optimizer_ops.history.sums import GROWTH, HOUR_S, SLOWEST_BY, bucket_of, hour_of
from optimizer_ops.history.tables import hourly_latency, requests
from optimizer_ops.history.views import RequestRow

Place = tuple[float, list[Condition]]

_took = requests.c.total_ms
_slowest_first = (_took.desc(), requests.c.asked.desc(), requests.c.id.desc())


def slowest_of(
    connection: sa.Connection,
    span: Part,
    where: Mapping[str, str],
    conditions: Sequence[Condition],
    *,
    limit: int,
    at_most_ms: float,
    failed: bool,
) -> list[RequestRow]:
    """Requests of a span that ended, the slowest first, by the threshold algorithm (Fagin, Lotem, Naor 2003).

    Hours come in the order of what their slowest answer took at most, until none can have a slower one than those
    found; what failed has an index of its own. Durations are compared first, all in the index: rows are read only of
    the chosen.
    """
    ended = [*conditions, _took.is_not(None)]
    places: list[Place] = [
        (math.inf, [*ended, *within(requests.c.asked, span), in_failed_index]),
    ]
    for most_ms, hour in [] if failed else _hours(connection, span, where, at_most_ms):
        part = max(hour, span[0]), min(hour + HOUR_S, span[1])
        places.append((most_ms, [*ended, *within(requests.c.asked, part), requests.c.outcome == "answered"]))
    least_ms, chosen = _least(connection, places, limit)
    found: list[RequestRow] = []
    for place in chosen:
        question = sa.select(requests).where(*place, least_ms <= _took).order_by(*_slowest_first).limit(limit)
        found += rows_of(RequestRow, connection.execute(question).mappings())
    return sorted(found, key=lambda row: (row.total_ms or 0.0, row.asked, row.id), reverse=True)[:limit]


def _least(connection: sa.Connection, places: Sequence[Place], limit: int) -> tuple[float, list[list[Condition]]]:
    """How long the least slow of those wanted took (ms), and the places where they are."""
    best: list[float] = []
    slowest_in: list[Place] = []
    least_ms = 0.0
    for most_ms, place in places:
        if most_ms < least_ms:
            break
        question = sa.select(_took).where(*place, least_ms <= _took).order_by(_took.desc()).limit(limit)
        durations = list(connection.scalars(question))
        if durations:
            slowest_in.append((durations[0], place))
        best = heapq.nlargest(limit, [*best, *durations])
        if len(best) >= limit:
            least_ms = best[-1]
    return least_ms, [place for most_ms, place in slowest_in if most_ms >= least_ms]


def _hours(
    connection: sa.Connection, span: Part, where: Mapping[str, str], at_most_ms: float
) -> list[tuple[float, int]]:
    """What the slowest answer of each hour took at most (ms), and when the hour began; the slowest first."""
    table = hourly_latency.c
    within_span = within(table.hour, (hour_of(span[0]), span[1]))
    most: dict[int, int] | None = None
    for by, name in [(by, where[by]) for by in SLOWEST_BY if by in where] or [("", "")]:
        question = sa.select(table.hour, sa.func.max(table.bucket)).where(
            table.by == by, table.name == name, *within_span
        )
        if math.isfinite(at_most_ms):
            question = question.where(table.bucket <= bucket_of(at_most_ms) + 1)
        found = {row[0]: row[1] for row in connection.execute(question.group_by(table.hour))}
        most = found if most is None else {hour: min(most[hour], found[hour]) for hour in most.keys() & found.keys()}
    # A hair more: a bucket is made with a tolerance.
    return sorted(((GROWTH ** (bucket + 1e-6), hour) for hour, bucket in (most or {}).items()), reverse=True)
