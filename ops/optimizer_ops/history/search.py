"""Finds requests, the newest or the slowest first."""

import math
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from optimizer_ops.history.conditions import Condition, equal, in_failed_index, within
from optimizer_ops.history.hours import parts_with
from optimizer_ops.history.rows import rows_of
from optimizer_ops.history.slowest import slowest_of
from optimizer_ops.history.spans import Part
from optimizer_ops.history.sums import KEYS, NO_ERROR
from optimizer_ops.history.tables import requests
from optimizer_ops.history.views import RequestRow

_ASKED_BY = (*KEYS, "op", "priority", "source", "outcome", "flight")
_NEWEST = (requests.c.asked.desc(), requests.c.id.desc())


def requests_of(
    connection: sa.Connection,
    span: Part,
    where: Mapping[str, str],
    *,
    limit: int,
    before: str | None,
    slowest: bool,
    failed: bool,
) -> list[RequestRow]:
    """Requests, the newest or the slowest first; `before` is the last one of the page before, by its id.

    :raises ValueError: if requests cannot be asked by something in `where`.
    """
    conditions = equal(requests, where, _ASKED_BY)
    failed = failed or where.get("outcome", "answered") not in NO_ERROR
    if failed:
        conditions += [in_failed_index, requests.c.outcome.not_in(NO_ERROR)]
    # Sums are kept for longer than rows: there is nothing to be found before the oldest.
    oldest = connection.scalar(sa.select(sa.func.min(requests.c.asked)))
    if oldest is None:
        return []
    part, at_most_ms = (max(span[0], oldest), span[1]), math.inf
    if before is not None:
        last = _named(connection, before)
        if last is None:
            return []
        conditions.append(_after(last, slowest=slowest))
        if slowest:
            at_most_ms = last["total_ms"] or 0.0
        else:
            part = part[0], min(part[1], math.nextafter(last["asked"], math.inf))
    if slowest:
        return slowest_of(connection, part, where, conditions, limit=limit, at_most_ms=at_most_ms, failed=failed)
    # What failed has an index of its own.
    if failed or "flight" in where or not where.keys() & {*KEYS, "source", "outcome"}:
        return _newest(connection, part, conditions, limit)
    found: list[RequestRow] = []
    for each in parts_with(connection, part, where, lambda table: _sums_of(table, where)):
        found += _newest(connection, each, conditions, limit - len(found))
        if len(found) >= limit:
            break
    return found


def _named(connection: sa.Connection, id_: str) -> Mapping[Any, Any] | None:
    columns = (requests.c.total_ms, requests.c.asked, requests.c.id)
    return connection.execute(sa.select(*columns).where(requests.c.id == id_)).mappings().one_or_none()


def _after(last: Mapping[Any, Any], *, slowest: bool) -> Condition:
    """What comes after this request in the order."""
    order = (*((requests.c.total_ms,) if slowest else ()), requests.c.asked, requests.c.id)
    return sa.tuple_(*order) < sa.tuple_(*(sa.literal(last[column.name]) for column in order))


def _newest(connection: sa.Connection, part: Part, conditions: list[Condition], limit: int) -> list[RequestRow]:
    question = sa.select(requests).where(*within(requests.c.asked, part), *conditions).order_by(*_NEWEST).limit(limit)
    return rows_of(RequestRow, connection.execute(question).mappings())


def _sums_of(table: sa.Table, where: Mapping[str, str]) -> list[Condition]:
    """What the sums must be that such requests are in."""
    sums, outcome = table.c, where.get("outcome")
    if outcome == "answered":
        ended = sums.answered > 0
    else:
        ended = sums.requests > (0 if outcome is None else sums.answered + sums.errors)
    match where.get("source"):
        case None:
            return [ended]
        case "cache":
            return [ended, sums.hits > 0]
        case "collapsed":
            return [ended, sums.collapsed > 0]
        case "backend":
            return [ended, sums.requests > sums.hits + sums.collapsed]
        case _:
            return [sa.false()]
