"""Takes a tenant out of the history, in steps so small that the recorder writes in between.

First a mark, in a transaction: from then on no recorder writes anything of the tenant that happened before
(`nameless.py`). Then the rows, each taken out of the sums that it is in; then the sums whose rows have gone already.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from optimizer_ops.history import tables
from optimizer_ops.history.database import check_version, reading, writing
from optimizer_ops.history.sums import KEYS, day_of, hour_of
from optimizer_ops.recorder.book import Book
from optimizer_ops.recorder.store import write_rows
from optimizer_wire.events import ALERT, BUDGET_SPEND

STEP_ROWS = 500
# Hours or days whose sums are taken out at once.
STEP_SUMS = 24
_ROWS = (
    (tables.requests, tables.requests.c.asked),
    (tables.calls, tables.calls.c.started),
    (tables.happenings, tables.happenings.c.at),
)
_LEVELS = (
    (tables.hourly, tables.hourly_latency, "hour", hour_of),
    (tables.daily, tables.daily_latency, "day", day_of),
)
Condition = sa.ColumnElement[bool]


def found(engine: Engine, tenant: str) -> dict[str, int]:
    """How many rows of each table are about a tenant.

    :raises DatabaseUnavailable: if the history cannot be read.
    """
    theirs: dict[sa.Table, Condition] = {
        table: table.c.tenant == tenant
        for table in (tables.requests, tables.calls, tables.happenings, tables.hourly, tables.daily, tables.agents)
    }
    theirs[tables.alerts] = _alerts_of(tenant)
    with reading(engine) as connection:
        check_version(connection)
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table).where(where)).scalar_one()
            for table, where in theirs.items()
        }


def erase(engine: Engine, tenant: str, until: float) -> Iterator[tuple[str, int]]:
    """Take out what there is of a tenant until a moment (Unix seconds); yields each step's table and number of rows.

    May be repeated. What was asked after that moment is new, and stays.

    :raises DatabaseUnavailable: if the history cannot be written to; the steps that were told are done.
    """
    with writing(engine) as connection:
        check_version(connection)
        _mark(connection, tenant, until)
    for table, at in _ROWS:
        last = 0.0
        while ids := _next(engine, table, at, tenant, last, until):
            last = ids[-1][1]
            with writing(engine) as connection:
                gone = _take_out(connection, table, [id_ for id_, _ in ids])
            yield table.name, gone
    for sums, latencies, begin, begin_of in _LEVELS:
        while begins := _begins(engine, sums, begin, tenant, begin_of(until)):
            with writing(engine) as connection:
                gone = _take_out_sums(connection, sums, latencies, begin, tenant, begins)
            yield sums.name, gone
        with writing(engine) as connection:
            now = sums.c[begin] >= begin_of(until)
            gone = _delete(connection, sums, now, sums.c.tenant == tenant, sums.c.requests == 0, sums.c.calls == 0)
            _delete(connection, latencies, latencies.c.requests <= 0)
        yield sums.name, gone
    with writing(engine) as connection:
        agents = tables.agents
        gone = _delete(connection, agents, agents.c.tenant == tenant, agents.c.last_seen <= until)
        since = {"first_seen": until, "last_error": None, "last_error_code": None}
        known = sa.and_(agents.c.tenant == tenant, agents.c.first_seen < until)
        connection.execute(sa.update(agents).where(known).values(since))
    yield agents.name, gone
    with writing(engine) as connection:
        gone = erase_alerts(connection, tenant, until)
    yield tables.alerts.name, gone


def erase_alerts(connection: Connection, tenant: str, until: float) -> int:
    """Take out the alerts that were raised about a tenant until a moment, and what was to be told of them."""
    alerts, notices, happenings = tables.alerts, tables.notices, tables.happenings
    theirs = sa.and_(_alerts_of(tenant), alerts.c.since <= until)
    _delete(connection, notices, notices.c.alert_id.in_(sa.select(alerts.c.id).where(theirs)))
    said = happenings.c.message.startswith(f"The tenant {tenant} spent ", autoescape=True)
    _delete(connection, happenings, happenings.c.type.in_((ALERT, BUDGET_SPEND)), happenings.c.at <= until, said)
    return _delete(connection, alerts, theirs)


def forgotten(connection: Connection) -> dict[str, float]:
    """Until when which tenants were forgotten."""
    rows = connection.execute(sa.select(tables.forgotten.c.tenant, tables.forgotten.c.until))
    return {row.tenant: row.until for row in rows}


def _mark(connection: Connection, tenant: str, until: float) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    mark = dialect.insert(tables.forgotten).values(tenant=tenant, until=until)
    connection.execute(mark.on_conflict_do_update(index_elements=["tenant"], set_={"until": until}))


def _next(
    engine: Engine, table: sa.Table, at: sa.Column[float], tenant: str, last: float, until: float
) -> Sequence[Any]:
    """The next rows of a tenant, as (id, moment); found outside of the transaction, which others wait for."""
    theirs = sa.select(table.c.id, at).where(table.c.tenant == tenant, at >= last, at <= until)
    with reading(engine) as connection:
        return connection.execute(theirs.order_by(at).limit(STEP_ROWS)).all()


def _take_out(connection: Connection, table: sa.Table, ids: Sequence[str]) -> int:
    """Delete rows, and take what they have added out of the sums."""
    if table is not tables.happenings:
        book = Book()
        kept = book.requests if table is tables.requests else book.calls
        kept.load(dict(row) for row in connection.execute(sa.select(table).where(table.c.id.in_(ids))).mappings())
        for id_ in list(kept.rows):
            kept.remove(id_)
        write_rows(connection, book)
    if table is tables.requests:
        # What happened to a message that nobody could read has no tenant.
        happened = tables.happenings
        _delete(connection, happened, happened.c.request_id.in_(ids), happened.c.tenant.is_(None))
    return _delete(connection, table, table.c.id.in_(ids))


def _begins(engine: Engine, sums: sa.Table, begin: str, tenant: str, before: int) -> Sequence[int]:
    theirs = sa.select(sums.c[begin]).where(sums.c.tenant == tenant, sums.c[begin] < before).distinct()
    with reading(engine) as connection:
        return connection.scalars(theirs.limit(STEP_SUMS)).all()


def _take_out_sums(
    connection: Connection, sums: sa.Table, latencies: sa.Table, begin: str, tenant: str, begins: Sequence[int]
) -> int:
    """Delete the sums of hours or days whose rows have gone.

    Durations are kept by one key alone: those of all lose what the tenant's were, those of a name that nobody has
    any more go, and those of a name that others have too keep counting.
    """
    then, by, name = latencies.c[begin].in_(begins), latencies.c.by, latencies.c.name
    theirs = sa.and_(then, by == "tenant", name == tenant)
    counted = connection.execute(sa.select(latencies).where(theirs)).mappings().all()
    for row in counted:
        same = sa.and_(latencies.c[begin] == row[begin], latencies.c.bucket == row["bucket"], by == "")
        less = sa.update(latencies).where(same).values(requests=latencies.c.requests - row["requests"])
        connection.execute(less)
    gone = _delete(connection, sums, sums.c[begin].in_(begins), sums.c.tenant == tenant)
    for key in KEYS:
        known = sa.exists().where(sums.c[begin] == latencies.c[begin], sums.c[key] == name)
        _delete(connection, latencies, then, by == key, ~known)
    return gone


def _alerts_of(tenant: str) -> Condition:
    return tables.alerts.c.subject.in_([f"tenant {tenant} {every}" for every in ("day", "month")])


def _delete(connection: Connection, table: sa.Table, *where: Condition) -> int:
    return int(connection.execute(sa.delete(table).where(*where)).rowcount)
