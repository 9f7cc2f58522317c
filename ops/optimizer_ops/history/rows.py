"""Single rows of the history: calls, other events, alerts, and what the recorder says of itself."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from optimizer_ops.history.conditions import Condition, equal, within
from optimizer_ops.history.hours import parts_with
from optimizer_ops.history.sums import KEYS
from optimizer_ops.history.tables import NANO, alerts, calls, happenings, recorder, requests
from optimizer_ops.history.views import AlertRow, CallRow, Happening, Recording, RequestRow

Row = TypeVar("Row", bound=msgspec.Struct)

_IDS_END = "\U0010ffff"
_OF_CALLS = (*KEYS, "op", "priority", "outcome", "worker", "request_id", "flight", "error_code")
_OF_HAPPENINGS = ("agent", "backend", "tenant", "request_id", "flight", "outcome", "error_code", "source")


def requests_like(connection: sa.Connection, beginning: str, limit: int) -> list[RequestRow]:
    """Requests whose ids begin so, the newest first."""
    ids = requests.c.id
    question = sa.select(requests).where(ids >= beginning, ids < beginning + _IDS_END).order_by(ids.desc()).limit(limit)
    return rows_of(RequestRow, connection.execute(question).mappings())


def calls_of(
    connection: sa.Connection, span: tuple[float, float], where: Mapping[str, str], limit: int
) -> list[CallRow]:
    """Upstream calls, the newest first."""
    conditions = equal(calls, where, _OF_CALLS)
    oldest = connection.scalar(sa.select(sa.func.min(calls.c.started)))
    if oldest is None:
        return []
    part = max(span[0], oldest), span[1]
    named = where.keys() & {*KEYS} and not where.keys() & {"request_id", "flight"}
    found: list[CallRow] = []
    for each in parts_with(connection, part, where, lambda sums: [sums.c.calls > 0]) if named else (part,):
        question = sa.select(calls).where(*within(calls.c.started, each), *conditions)
        newest = question.order_by(calls.c.started.desc(), calls.c.id.desc()).limit(limit - len(found))
        found += rows_of(CallRow, connection.execute(newest).mappings())
        if len(found) >= limit:
            break
    return found


def happenings_of(
    connection: sa.Connection,
    span: tuple[float, float],
    types: Sequence[str],
    where: Mapping[str, str],
    limit: int,
) -> list[Happening]:
    """Other events, the newest first; a type that ends in `.*` means all below it."""
    conditions = [*within(happenings.c.at, span), *equal(happenings, where, _OF_HAPPENINGS)]
    if types:
        conditions.append(sa.or_(*(_of_type(kind) for kind in types)))
    newest = (happenings.c.at.desc(), happenings.c.id.desc())
    return rows_of(
        Happening,
        connection.execute(sa.select(happenings).where(*conditions).order_by(*newest).limit(limit)).mappings(),
    )


def _of_type(kind: str) -> Condition:
    column = happenings.c.type
    return column.startswith(kind[:-1], autoescape=True) if kind.endswith(".*") else column == kind


def alerts_of(connection: sa.Connection, since: float, *, open_only: bool) -> list[AlertRow]:
    """What is or was wrong at some moment since then: what lasts first, then the latest."""
    lasts = alerts.c.until.is_(None)
    wanted = lasts if open_only else sa.or_(lasts, alerts.c.until >= since)
    question = sa.select(alerts).where(wanted).order_by(sa.case((lasts, 0), else_=1), alerts.c.since.desc())
    return rows_of(AlertRow, connection.execute(question).mappings())


def recording_of(connection: sa.Connection) -> Recording | None:
    """What the recorder last said of itself, and how many events never came."""
    row = connection.execute(sa.select(recorder)).mappings().first()
    if row is None:
        return None
    return Recording(**{name: row[name] for name in Recording.__struct_fields__})


def rows_of(kind: type[Row], found: Iterable[Mapping[Any, Any]]) -> list[Row]:
    """Rows as they are shown."""
    return [row_of(kind, row) for row in found]


def row_of(kind: type[Row], row: Mapping[Any, Any]) -> Row:
    """A row as it is shown: money in US dollars."""
    known: dict[str, Any] = {str(name): value for name, value in row.items()}
    for money in ("cost", "saved"):
        nano = known.get(f"{money}_nano")
        known[f"{money}_usd"] = None if nano is None else nano / NANO
    return kind(**{name: known[name] for name in kind.__struct_fields__})
