"""How the history stands: where it is, how large, what is in it, and how the recorder does."""

import time
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from optimizer_ops.history import tables
from optimizer_ops.history.database import check_version, reading, shown


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds. `lag_s`: how long ago the recorder last said that it lives; None if it never did."""

    place: str
    bytes: int
    rows: dict[str, int]
    oldest: float | None
    newest: float | None
    recorded: int
    lost: int
    waiting: int
    lag_s: float | None


def standing(engine: Engine) -> Standing:
    """Look at it.

    :raises DatabaseUnavailable: if it cannot be read.
    """
    counted = (tables.requests, tables.calls, tables.happenings, tables.hourly, tables.agents)
    with reading(engine) as connection:
        check_version(connection)
        rows = {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in counted
        }
        oldest = connection.execute(sa.select(sa.func.min(tables.requests.c.asked))).scalar()
        recorder = connection.execute(sa.select(tables.recorder)).mappings().first()
        size = _bytes(engine, connection)
    return Standing(
        place=shown(engine),
        bytes=size,
        rows=rows,
        oldest=oldest,
        newest=recorder["newest"] if recorder else None,
        recorded=recorder["recorded"] if recorder else 0,
        lost=recorder["lost"] if recorder else 0,
        waiting=recorder["waiting"] if recorder else 0,
        lag_s=max(0.0, time.time() - recorder["beat"]) if recorder else None,
    )


def _bytes(engine: Engine, connection: sa.Connection) -> int:
    if engine.dialect.name == "postgresql":
        return int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())
    file = Path(engine.url.database or "")
    parts = (file, file.with_name(f"{file.name}-wal"))
    return sum(part.stat().st_size for part in parts if part.exists())
