"""What the history tells of the last minutes and of the money that is spent. Blocking.

The numbers come from the tables, not from a memory of its own: what is alerted is what `optimizer calls` and
`optimizer costs` show, and a recorder that was away knows all at once what its queue held.
"""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from optimizer_config.alert_settings import AlertSettings, Spender
from optimizer_ops.alerts.counts import RECENT_S
from optimizer_ops.alerts.objectives import Served
from optimizer_ops.alerts.spending import Budget
from optimizer_ops.history.sums import HOUR_S, RATE_ONLY
from optimizer_ops.history.tables import calls, happenings, hourly, recorder, requests
from optimizer_wire.events import DEAD, RATE_LIMIT

# Requests that nobody could have served are no fault of the fleet.
_THEIR_OWN = (
    "invalid_request",
    "unknown_model",
    "context_too_long",
    "content_filtered",
    "idempotency_conflict",
    "not_found",
    "cancelled",
    "quota_exceeded",
)
_UNKNOWN = ("open", "unknown")


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What happened lately. `lost` is how many events were lost since the history began."""

    served: Served
    throttled: dict[str, int]
    dead: int
    lost: int


def counted(connection: Connection, settings: AlertSettings, now: float) -> Counted:
    """What happened in the spans that alerts look at."""
    return Counted(
        served=_served(connection, settings, now),
        throttled=_throttled(connection, now - settings.throttled_s),
        dead=_dead(connection, now - RECENT_S),
        lost=connection.execute(sa.select(sa.func.coalesce(sa.func.sum(recorder.c.lost), 0))).scalar_one(),
    )


def _served(connection: Connection, settings: AlertSettings, now: float) -> Served:
    lately = requests.c.ended > now - settings.window_s
    # Grouped by their names: PostgreSQL does not see that two expressions with parameters are the same one.
    sent = (requests.c.backend != "").label("sent")
    spared = sa.func.coalesce(requests.c.source, "").in_(("cache", "collapsed")).label("spared")
    rows = connection.execute(
        sa.select(requests.c.outcome, sent, spared, sa.func.count())
        .where(lately)
        .group_by(requests.c.outcome, "sent", "spared")
    ).all()
    answered = sum(count for outcome, _, _, count in rows if outcome == "answered")
    failed = sum(count for outcome, backend, _, count in rows if _is_fault(outcome, bool(backend)))
    return Served(
        answered=answered,
        failed=failed,
        spared=sum(count for outcome, _, spared, count in rows if outcome == "answered" and spared),
        p95_ms=_p95(connection, lately, answered) if settings.p95_ms else None,
    )


def _is_fault(outcome: str, backend: bool) -> bool:
    if outcome == "unauthorized":
        # A backend that refuses our key is one; an agent that the optimizer refuses is not.
        return backend
    return outcome not in {"answered", *_UNKNOWN, *_THEIR_OWN}


def _p95(connection: Connection, lately: sa.ColumnElement[bool], answered: int) -> float | None:
    """The nearest-rank percentile of the answered ones."""
    timed = sa.select(requests.c.total_ms).where(
        lately, requests.c.outcome == "answered", requests.c.total_ms.is_not(None)
    )
    slower = max(0, answered - -(-answered * 95 // 100))
    return connection.execute(timed.order_by(requests.c.total_ms.desc()).limit(1).offset(slower)).scalar()


def _throttled(connection: Connection, since: float) -> dict[str, int]:
    rows = connection.execute(
        sa.select(happenings.c.backend, sa.func.count())
        .where(happenings.c.type == RATE_LIMIT, happenings.c.at > since, happenings.c.outcome.in_(RATE_ONLY))
        .group_by(happenings.c.backend)
    )
    return {backend: count for backend, count in rows if backend}


def _dead(connection: Connection, since: float) -> int:
    found = sa.select(sa.func.count()).where(happenings.c.type == DEAD, happenings.c.at > since)
    return connection.execute(found).scalar_one()


def spent(connection: Connection, budgets: Sequence[Budget], now: float) -> dict[tuple[Spender, int], dict[str, int]]:
    """What was spent in the periods of these budgets until now, by spender and beginning, then by name."""
    periods = {(budget.spender, budget.began(now)) for budget in budgets}
    return {(spender, began): _spent(connection, spender, began) for spender, began in periods}


def _spent(connection: Connection, spender: Spender, began: int) -> dict[str, int]:
    hour = began // HOUR_S * HOUR_S
    found = _sums(connection, spender, hourly, hourly.c.hour >= hour)
    if began > hour:
        # A period that begins within an hour, as in a time zone of half hours: what came before it is not of it.
        before = _sums(connection, spender, calls, (calls.c.started >= hour) & (calls.c.started < began))
        found = {name: nano - before.get(name, 0) for name, nano in found.items()}
    return found


def _sums(connection: Connection, spender: Spender, table: sa.Table, where: sa.ColumnElement[bool]) -> dict[str, int]:
    # PostgreSQL adds whole numbers up to a decimal one.
    total = sa.cast(sa.func.coalesce(sa.func.sum(table.c.cost_nano), 0), sa.BigInteger)
    if spender == "fleet":
        return {"": connection.execute(sa.select(total).where(where)).scalar_one()}
    name = table.c[spender]
    return {each: nano for each, nano in connection.execute(sa.select(name, total).where(where).group_by(name)) if nano}
