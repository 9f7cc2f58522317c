"""Lets go of what is old, in steps so small that nobody waits for them."""

import asyncio
import time
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from optimizer_ops.history import tables
from optimizer_ops.history.database import DatabaseUnavailable, writing
from optimizer_ops.history.sums import day_of
from optimizer_ops.recorder.erasure import erase_alerts, forgotten
from optimizer_ops.recorder.requests import OPEN, UNKNOWN
from optimizer_service.logs import Logger

DAY_S = 86_400.0
EVERY_S = 600.0
STEP_ROWS = 1_000
PAUSE_S = 0.1
# No request lives for longer; RabbitMQ gives a call up an hour after that.
LONGEST_LIFE_S = 26 * 3600.0


class Retention:
    """Keeps rows for `keep_days`, sums for `keep_hourly_days`; closes requests that nothing was heard of for a day."""

    def __init__(self, engine: Engine, keep_days: int, keep_hourly_days: int, log: Logger) -> None:
        self._engine = engine
        self._keep_s = keep_days * DAY_S
        self._keep_hourly_s = keep_hourly_days * DAY_S
        self._log = log

    async def run(self) -> None:
        """Let go of all that is due now."""
        gone = 0
        try:
            gone += await asyncio.to_thread(self._alerts_of_forgotten)
            for step in self._steps(time.time()):
                while rows := await asyncio.to_thread(self._do, step):
                    gone += rows
                    if rows < STEP_ROWS:
                        break
                    await asyncio.sleep(PAUSE_S)
        except DatabaseUnavailable:
            pass  # whoever writes says so; the next time it goes on from there
        if gone:
            self._log.info("let go of what is old", rows=gone)

    def _do(self, step: sa.Delete | sa.Update) -> int:
        with writing(self._engine) as connection:
            return int(connection.execute(step).rowcount)

    def _alerts_of_forgotten(self) -> int:
        """What the engine of alerts remembers of a tenant it writes once more when it clears it."""
        with writing(self._engine) as connection:
            return sum(erase_alerts(connection, tenant, until) for tenant, until in forgotten(connection).items())

    def _steps(self, now: float) -> Iterator[sa.Delete | sa.Update]:
        open_ = sa.and_(tables.requests.c.outcome == OPEN, tables.requests.c.asked < now - LONGEST_LIFE_S)
        yield (
            sa.update(tables.requests)
            .where(_some(tables.requests, open_))
            .values(outcome=UNKNOWN, message="Nothing was heard of it any more.")
        )
        # Sums go by whole days: those of an hour and those of its day are of one mind.
        day = day_of(now - self._keep_hourly_s)
        rows = (
            (tables.requests, tables.requests.c.asked, now - self._keep_s),
            (tables.calls, tables.calls.c.started, now - self._keep_s),
            (tables.happenings, tables.happenings.c.at, now - self._keep_s),
            (tables.hourly, tables.hourly.c.hour, day),
            (tables.hourly_latency, tables.hourly_latency.c.hour, day),
            (tables.daily, tables.daily.c.day, day),
            (tables.daily_latency, tables.daily_latency.c.day, day),
            (tables.sources, tables.sources.c.last_seen, now - self._keep_s),
            (tables.forgotten, tables.forgotten.c.until, now - self._keep_s),
        )
        for table, column, before in rows:
            yield sa.delete(table).where(_some(table, column < before))


def _some(table: sa.Table, where: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """At most a step's rows of a table: neither database can limit a deletion itself."""
    keys = list(table.primary_key)
    chosen = sa.select(*keys).where(where).limit(STEP_ROWS)
    return (keys[0] if len(keys) == 1 else sa.tuple_(*keys)).in_(chosen)
