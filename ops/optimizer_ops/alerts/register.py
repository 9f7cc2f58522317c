"""Alerts, notices and silences in the history. Blocking; the recorder alone writes alerts and notices."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from optimizer_ops.alerts.engine import FLAPPING_S, Change, Past
from optimizer_ops.alerts.notices import EVENT_SINK, Notice
from optimizer_ops.history.tables import alerts, leases, notices, silences
from optimizer_ops.history.views import AlertRow

KEPT_S = 30 * 86_400.0
# No lease is for so long: whoever took it had a clock that was ahead.
NO_LEASE_S = 300.0

_LEASE = "alerts"


def take_lease(connection: Connection, holder: str, now: float, until: float) -> bool:
    """Be the one who watches and tells until then; False while somebody else is."""
    row = connection.execute(sa.select(leases).where(leases.c.name == _LEASE)).one_or_none()
    if row is not None and row.holder != holder and now < row.until < now + NO_LEASE_S:
        return False
    _upsert(connection, leases, {"name": _LEASE, "holder": holder, "until": until})
    return True


def leave_lease(connection: Connection, holder: str) -> None:
    """Let the next one watch and tell."""
    connection.execute(sa.delete(leases).where(leases.c.name == _LEASE, leases.c.holder == holder))


def past(connection: Connection, now: float) -> list[Past]:
    """What an engine must know after a restart."""
    told = (
        sa.select(sa.func.max(notices.c.at))
        .where(notices.c.alert_id == alerts.c.id, notices.c.sink != EVENT_SINK)
        .scalar_subquery()
    )
    rows = connection.execute(
        sa.select(alerts, told.label("told"))
        .where(sa.or_(alerts.c.until.is_(None), alerts.c.since > now - FLAPPING_S))
        .order_by(alerts.c.since)
    ).mappings()
    return [Past(alert=_alert(row), told=row["told"]) for row in rows]


def write(connection: Connection, changes: Sequence[Change], due: Sequence[Notice]) -> None:
    """Note what happened to alerts, and what is to be told of it, in one transaction."""
    for change in changes:
        row = msgspec.structs.asdict(change.alert)
        _upsert(connection, alerts, row)
    if due:
        connection.execute(sa.insert(notices), [msgspec.to_builtins(notice) for notice in due])


def waiting(connection: Connection, sink: str, now: float) -> list[Notice]:
    """What a sink is to be told now, the oldest first: what is due, and with it what waits of the same alerts."""
    open_ = (notices.c.sink == sink) & notices.c.sent.is_(None) & ~notices.c.given_up
    due = sa.select(notices.c.alert_id).where(open_, notices.c.due <= now)
    rows = connection.execute(
        sa.select(notices).where(open_, notices.c.alert_id.in_(due)).order_by(notices.c.at, notices.c.id)
    )
    return [_notice(row) for row in rows.mappings()]


def told(connection: Connection, ids: Sequence[str], now: float) -> None:
    """These have been told."""
    connection.execute(sa.update(notices).where(notices.c.id.in_(ids)).values(sent=now, trouble=None))


def failed(connection: Connection, ids: Sequence[str], trouble: str, *, give_up: bool) -> None:
    """These could not be told; with `give_up` nobody tries again."""
    values = {"attempts": notices.c.attempts + 1, "trouble": trouble, "given_up": give_up}
    connection.execute(sa.update(notices).where(notices.c.id.in_(ids)).values(values))


def drop(connection: Connection, sinks: Sequence[str], now: float) -> None:
    """Give up what is for sinks that are not configured any more, and forget what is old."""
    gone = {"given_up": True, "trouble": "This sink is not configured any more."}
    open_ = notices.c.sent.is_(None) & ~notices.c.given_up
    connection.execute(sa.update(notices).where(open_, notices.c.sink.not_in(sinks)).values(gone))
    connection.execute(sa.delete(notices).where(notices.c.at < now - KEPT_S))
    connection.execute(sa.delete(silences).where(silences.c.until < now))


def silenced(connection: Connection, now: float) -> dict[str, float]:
    """Which names nobody is told of now, and until when."""
    rows = connection.execute(sa.select(silences.c.name, silences.c.until).where(silences.c.until > now))
    return {name: until for name, until in rows}  # noqa: C416 - rows are no pairs to a type checker


def silence(connection: Connection, name: str, until: float) -> None:
    """Tell nobody of this name until then."""
    _upsert(connection, silences, {"name": name, "until": until})


def troubles(connection: Connection, since: float) -> list[Notice]:
    """Notices since then that could not be told yet, or never will be."""
    rows = connection.execute(
        sa.select(notices)
        .where(notices.c.at > since, notices.c.sent.is_(None), notices.c.trouble.is_not(None))
        .order_by(notices.c.at)
    )
    return [_notice(row) for row in rows.mappings()]


def _upsert(connection: Connection, table: sa.Table, row: dict[str, object]) -> None:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(row)
    (key,) = table.primary_key.columns
    others = {name: value for name, value in row.items() if name != key.name}
    connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=others))


def _alert(row: sa.RowMapping) -> AlertRow:
    return AlertRow(**{name: row[name] for name in AlertRow.__struct_fields__})


def _notice(row: sa.RowMapping) -> Notice:
    # The keys of a row are no plain text.
    return msgspec.convert({name: row[name] for name in Notice.__struct_fields__}, Notice)
