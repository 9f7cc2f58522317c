"""Computes again what calls cost, from their raw usage and time, with the prices that are known now.

Each step is one transaction: calls, what their requests paid and saved by them, and the sums by hour.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from optimizer_backends.prices import Prices
from optimizer_config.model import Backend
from optimizer_ops.history import tables
from optimizer_ops.history.database import writing
from optimizer_ops.history.sums import TOKENS
from optimizer_ops.recorder.book import Book
from optimizer_ops.recorder.store import write_rows
from optimizer_ops.recorder.values import Row, nano
from optimizer_wire.messages import Usage

STEP_CALLS = 500


class Repriced(msgspec.Struct, frozen=True):
    """What came of a step: calls looked at, calls whose cost is another now, and by how many billionths of a dollar."""

    calls: int = 0
    changed: int = 0
    difference_nano: int = 0


def reprice(engine: Engine, prices: Prices, backends: Mapping[str, Backend], since: float) -> Iterator[Repriced]:
    """Go through the answered calls since then, step by step.

    A call of a backend that is not configured any more, or whose price nobody knows now, keeps its cost. What a hit has
    saved is what its answer cost when it was called for, and stays.

    :raises DatabaseUnavailable: if the history cannot be written to; the steps that were told are done.
    """
    last = (since, "")
    while True:
        with writing(engine) as connection:
            calls = _next(connection, *last)
            if not calls:
                return
            done = _step(connection, calls, prices, backends)
        yield done
        last = (calls[-1]["started"], calls[-1]["id"])


def _next(connection: Connection, started: float, id_: str) -> list[Row]:
    table = tables.calls
    after = sa.or_(table.c.started > started, sa.and_(table.c.started == started, table.c.id > id_))
    step = (
        sa.select(table)
        .where(table.c.started >= started, after, table.c.input_tokens.is_not(None))
        .order_by(table.c.started, table.c.id)
        .limit(STEP_CALLS)
    )
    return [dict(row) for row in connection.execute(step).mappings()]


def _step(connection: Connection, calls: list[Row], prices: Prices, backends: Mapping[str, Backend]) -> Repriced:
    book = Book()
    book.load_calls(calls)
    costs = {row["id"]: cost for row in calls if (cost := _cost(row, prices, backends)) is not None}
    changed = {id_: cost for id_, cost in costs.items() if cost[0] != book.calls.rows[id_]["cost_nano"]}
    book.load_requests(_concerned(connection, [book.calls.rows[id_] for id_ in changed]))
    by_flight: dict[str, list[Row]] = {}
    for row in book.requests.rows.values():
        by_flight.setdefault(row["flight"] or "", []).append(row)
    difference = 0
    for id_, (now_nano, version) in changed.items():
        call = book.calls.change(id_)
        more = now_nano - (call["cost_nano"] or 0)
        difference += more
        call["cost_nano"], call["price_version"] = now_nano, version
        if call["request_id"] in book.requests.rows:
            leader = book.requests.change(call["request_id"])
            leader["cost_nano"] = (leader["cost_nano"] or 0) + more
        for row in by_flight.get(call["flight"] or "-", ()):
            if row["source"] == "collapsed" and row["outcome"] == "answered" and call["outcome"] == "answered":
                book.requests.change(row["id"])["saved_nano"] = now_nano
    write_rows(connection, book)
    return Repriced(len(calls), len(changed), difference)


def _cost(row: Row, prices: Prices, backends: Mapping[str, Backend]) -> tuple[int, str] | None:
    backend = backends.get(row["backend"])
    if backend is None:
        return None
    usage = Usage(**{name: row[name] or 0 for name in TOKENS}, raw=row["usage"])
    found = prices.cost(backend, row["model"], usage, datetime.fromtimestamp(row["started"], UTC))
    cost = nano(found.usd)
    return None if cost is None else (cost, found.version)


def _concerned(connection: Connection, calls: list[Row]) -> list[dict[str, Any]]:
    """The requests that led these calls, and those that joined them."""
    table = tables.requests
    leaders = [row["request_id"] for row in calls]
    flights = [row["flight"] for row in calls if row["flight"]]
    if not calls:
        return []
    # Two questions, each by an index of its own.
    found = {}
    for where in (table.c.id.in_(leaders), table.c.flight.in_(flights)):
        for row in connection.execute(sa.select(table).where(where)).mappings():
            found[row["id"]] = dict(row)
    return list(found.values())
