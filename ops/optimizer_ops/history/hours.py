"""Says in which hours of a span there are rows of some names, by the sums of days and hours.

Whoever looks for what is rare, or is not there at all, would else look through a month of rows.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from optimizer_ops.history.conditions import Condition, equal, within
from optimizer_ops.history.spans import Part
from optimizer_ops.history.sums import DAY_S, HOUR_S, KEYS, day_of, hour_of
from optimizer_ops.history.tables import daily, hourly

Counted = Callable[[sa.Table], list[Condition]]


def parts_with(connection: sa.Connection, span: Part, where: Mapping[str, str], counted: Counted) -> Iterator[Part]:
    """The parts of a span with rows of these names, the newest first, hours that follow each other as one.

    `counted` is what the sums (`hourly`, `daily`) of such rows must be; what in `where` is no key is not looked at.
    """
    names = {name: value for name, value in where.items() if name in KEYS}

    def begins(table: sa.Table, time: sa.ColumnElement[Any], part: Part) -> list[int]:
        conditions = [*within(time, part), *equal(table, names, KEYS), *counted(table)]
        return list(connection.scalars(sa.select(time).distinct().where(*conditions).order_by(time.desc())))

    since, until = span
    for day in begins(daily, daily.c.day, (day_of(since), until)):
        hours = begins(hourly, hourly.c.hour, (max(day, hour_of(since)), min(day + DAY_S, until)))
        for first, last in _runs(hours):
            yield max(first, since), min(last + HOUR_S, until)


def _runs(hours: list[int]) -> Iterator[tuple[int, int]]:
    """Hours, the newest first, as the first and the last of those that follow each other."""
    place = 0
    while place < len(hours):
        last = first = hours[place]
        place += 1
        while place < len(hours) and hours[place] == first - HOUR_S:
            first = hours[place]
            place += 1
        yield first, last
