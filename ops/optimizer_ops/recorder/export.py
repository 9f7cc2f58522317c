"""The rows of the history as JSON lines, in the order of their times, whatever their number."""

import time
from collections.abc import Iterator
from typing import Any, Literal, TextIO

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from optimizer_ops.history import tables
from optimizer_ops.history.database import check_version, reading
from optimizer_ops.history.tables import NANO

Kind = Literal["calls", "requests"]
STEP_ROWS = 2_000
_encoder = msgspec.json.Encoder()


def export(engine: Engine, kind: Kind, since: float, out: TextIO) -> int:
    """Write a line for each call or request since then; returns how many.

    Money is in US dollars (`cost_usd`, `saved_usd`), times are Unix seconds. What is recorded after it began is not in.

    :raises DatabaseUnavailable: if the history cannot be read.
    :raises OSError: if nobody reads the lines any more.
    """
    table = tables.calls if kind == "calls" else tables.requests
    at = table.c.started if kind == "calls" else table.c.asked
    count = 0
    for rows in _steps(engine, table, at, since, time.time()):
        out.write("".join(f"{_line(row)}\n" for row in rows))
        count += len(rows)
    return count


def _steps(
    engine: Engine, table: sa.Table, at: sa.Column[float], since: float, until: float
) -> Iterator[list[dict[str, Any]]]:
    """A transaction a step: one over all rows would keep SQLite from folding its log, however long somebody reads."""
    last: tuple[float, str] = (since, "")
    while True:
        after = sa.or_(at > last[0], sa.and_(at == last[0], table.c.id > last[1]))
        step = sa.select(table).where(at >= last[0], after, at < until).order_by(at, table.c.id).limit(STEP_ROWS)
        with reading(engine) as connection:
            check_version(connection)
            rows = [dict(row) for row in connection.execute(step).mappings()]
        if not rows:
            return
        yield rows
        last = (rows[-1][at.name], rows[-1]["id"])


def _line(row: dict[str, Any]) -> str:
    for name in ("cost", "saved"):
        if f"{name}_nano" in row:
            nano = row.pop(f"{name}_nano")
            row[f"{name}_usd"] = None if nano is None else nano / NANO
    return _encoder.encode({name: value for name, value in row.items() if value is not None}).decode()
