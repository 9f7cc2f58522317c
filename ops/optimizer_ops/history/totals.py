"""Adds up a span: whole days from `daily`, hours from `hourly`, edges from the rows themselves."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from optimizer_ops.history.conditions import equal, step_of, within
from optimizer_ops.history.latencies import Buckets, percentile
from optimizer_ops.history.spans import Span
from optimizer_ops.history.sums import HOUR_S, KEYS, NO_ERROR, RATE_ONLY, SAVED, TOKENS
from optimizer_ops.history.tables import NANO, calls, daily, hourly, requests
from optimizer_ops.history.views import Totals

Sums = Counter[str]
Names = tuple[Any, ...]

_OF_REQUESTS = ("requests", "hits", "collapsed", "answered", "errors", "saved_nano", "saved_unpriced")
_OF_CALLS = ("calls", "calls_answered", "calls_failed", "throttled", "unpriced", *TOKENS, "cost_nano")


def _number(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


# The same as `sums.of_request` and `sums.of_call`, as SQL; a test holds them against each other.
_ADDED_REQUESTS: dict[str, sa.ColumnElement[Any]] = {
    "requests": sa.func.count(),
    "hits": _number(requests.c.source == "cache"),
    "collapsed": _number(requests.c.source == "collapsed"),
    "answered": _number(requests.c.outcome == "answered"),
    "errors": _number(requests.c.outcome.not_in(NO_ERROR)),
    "saved_nano": sa.func.sum(requests.c.saved_nano),
    "saved_unpriced": _number(
        (requests.c.outcome == "answered") & requests.c.source.in_(SAVED) & requests.c.saved_nano.is_(None)
    ),
}
_ADDED_CALLS: dict[str, sa.ColumnElement[Any]] = {
    "calls": sa.func.count(),
    "calls_answered": _number(calls.c.outcome == "answered"),
    "calls_failed": _number(calls.c.outcome != "answered"),
    "throttled": _number(calls.c.outcome.in_(RATE_ONLY)),
    "unpriced": _number((calls.c.outcome == "answered") & calls.c.cost_nano.is_(None)),
    **{name: sa.func.sum(calls.c[name]) for name in (*TOKENS, "cost_nano")},
}


def sums_by(
    connection: sa.Connection, span: Span, by: Sequence[str], where: Mapping[str, str], *, step_s: float = 0
) -> dict[Names, Sums]:
    """The sums of each combination of names of the keys `by`; with `step_s` also of each step, a number that comes
    first: step 0 begins when the span does.

    :raises ValueError: if `where` has something that is no key.
    """
    found: defaultdict[Names, Sums] = defaultdict(Counter)
    for table, time, parts in ((daily, daily.c.day, span.days), (hourly, hourly.c.hour, span.hours)):
        measures = {name: sa.func.sum(table.c[name]) for name in (*_OF_REQUESTS, *_OF_CALLS)}
        for part in parts:
            _add(found, connection, table, time, measures, span, part, by, where, step_s)
    for edge in span.edges:
        _add(found, connection, requests, requests.c.asked, _ADDED_REQUESTS, span, edge, by, where, step_s)
        _add(found, connection, calls, calls.c.started, _ADDED_CALLS, span, edge, by, where, step_s)
    return found


def _add(
    found: dict[Names, Sums],
    connection: sa.Connection,
    table: sa.Table,
    time: sa.ColumnElement[Any],
    measures: Mapping[str, sa.ColumnElement[Any]],
    span: Span,
    part: tuple[float, float],
    by: Sequence[str],
    where: Mapping[str, str],
    step_s: float,
) -> None:
    groups = [*([step_of(time, span.since, step_s)] if step_s else []), *(table.c[name] for name in by)]
    question = (
        sa.select(*groups, *measures.values()).where(*within(time, part), *equal(table, where, KEYS)).group_by(*groups)
    )
    for row in connection.execute(question):
        sums = found[tuple(row[: len(groups)])]
        for name, value in zip(measures, row[len(groups) :], strict=True):
            sums[name] += int(value or 0)


def totals_of(sums: Mapping[str, int], buckets: Buckets | None) -> Totals:
    """Sums as they are shown; `buckets` None: nobody knows how long its requests took."""
    return Totals(
        **{name: sums.get(name, 0) for name in ("requests", "hits", "collapsed", "answered", "errors")},
        **{name: sums.get(name, 0) for name in ("calls", "calls_answered", "calls_failed", "throttled", "unpriced")},
        calls_unknown=sums.get("calls", 0) - sums.get("calls_answered", 0) - sums.get("calls_failed", 0),
        input_tokens=sums.get("input_tokens", 0),
        output_tokens=sums.get("output_tokens", 0),
        cost_usd=sums.get("cost_nano", 0) / NANO,
        saved_usd=sums.get("saved_nano", 0) / NANO,
        saved_unpriced=sums.get("saved_unpriced", 0),
        p50_ms=percentile(buckets, 0.50),
        p95_ms=percentile(buckets, 0.95),
        p99_ms=percentile(buckets, 0.99),
    )


def kept(connection: sa.Connection, hour: int) -> bool:
    """Whether the rows of an hour are all there, so that a part of it can be told: retention removes the oldest."""
    summed = connection.execute(
        sa.select(sa.func.sum(hourly.c.requests), sa.func.sum(hourly.c.calls)).where(hourly.c.hour == hour)
    ).one()
    there = [
        connection.scalar(sa.select(sa.func.count()).where(*within(time, (hour, hour + HOUR_S))))
        for time in (requests.c.asked, calls.c.started)
    ]
    return [int(value or 0) for value in summed] == there
