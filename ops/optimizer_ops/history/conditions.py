"""What rows are asked for: spans and names as SQL. Pure."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from optimizer_ops.history.tables import FAILED

Condition = sa.ColumnElement[bool]

# By the words of its index. Of no type: as a Boolean SQLite would be asked for `… = 1`, which is not the index's.
in_failed_index: Condition = sa.literal_column(FAILED)


def within(column: sa.ColumnElement[Any], span: tuple[float, float]) -> list[Condition]:
    """From the first moment to before the second, which may be infinite."""
    since, until = span
    return [column >= since] if math.isinf(until) else [column >= since, column < until]


def equal(table: sa.Table, where: Mapping[str, str], allowed: Iterable[str]) -> list[Condition]:
    """Rows with these values.

    :raises ValueError: if the table cannot be asked for one of them.
    """
    if unknown := sorted(where.keys() - set(allowed)):
        raise ValueError(f"{table.name} cannot be asked by {', '.join(unknown)}.")
    return [table.c[name] == value for name, value in where.items()]


def step_of(column: sa.ColumnElement[Any], since: float, step_s: float) -> sa.ColumnElement[int]:
    """The number of the step that a moment is in, of those that begin at `since`."""
    return sa.cast(sa.func.floor((column - since) / step_s), sa.Integer)
