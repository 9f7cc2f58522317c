"""Single rows of the history: requests, calls, other events, alerts, and what the recorder says of itself."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from optimizer_ops.history.conditions import Condition, equal, within
from optimizer_ops.history.tables import FAILED, NANO, alerts, calls, happenings, recorder, requests
from optimizer_ops.history.views import AlertRow, CallRow, Happening, Recording, RequestRow

Row = TypeVar("Row", bound=msgspec.Struct)

_IDS_END = "\U0010ffff"
_OF_REQUESTS = ("agent", "backend", "model", "task", "tenant", "op", "priority", "source", "outcome", "flight")
_OF_CALLS = (*_OF_REQUESTS[:7], "outcome", "worker", "request_id", "flight", "error_code")
_OF_HAPPENINGS = ("agent", "backend", "tenant", "request_id", "flight", "outcome", "error_code", "source")


def requests_of(
    connection: sa.Connection,
    span: tuple[float, float],
    where: Mapping[str, str],
    *,
    limit: int,
    before: str | None,
    slowest: bool,
    failed: bool,
) -> list[RequestRow]:
    """Requests, the newest or the slowest first; `before` is the last one of the page before, by its id."""
    conditions = [*within(requests.c.asked, span), *equal(requests, where, _OF_REQUESTS)]
    if failed:
        conditions.append(sa.literal_column(FAILED, sa.Boolean))
    order: list[Any] = [requests.c.asked.desc(), requests.c.id.desc()]
    if slowest:
        conditions.append(requests.c.total_ms.is_not(None))
        order.insert(0, requests.c.total_ms.desc())
    if before is not None:
        conditions.append(_after(connection, before, slowest=slowest))
    question = sa.select(requests).where(*conditions).order_by(*order).limit(limit)
    return _rows(RequestRow, connection.execute(question).mappings())


def _after(connection: sa.Connection, before: str, *, slowest: bool) -> Condition:
    """What comes after this request in the order."""
    order = (*((requests.c.total_ms,) if slowest else ()), requests.c.asked, requests.c.id)
    last = connection.execute(sa.select(*order).where(requests.c.id == before)).one_or_none()
    return sa.false() if last is None else sa.tuple_(*order) < sa.tuple_(*(sa.literal(value) for value in last))


def requests_like(connection: sa.Connection, beginning: str, limit: int) -> list[RequestRow]:
    """Requests whose ids begin so, the newest first."""
    ids = requests.c.id
    question = sa.select(requests).where(ids >= beginning, ids < beginning + _IDS_END).order_by(ids.desc()).limit(limit)
    return _rows(RequestRow, connection.execute(question).mappings())


def calls_of(
    connection: sa.Connection, span: tuple[float, float], where: Mapping[str, str], limit: int
) -> list[CallRow]:
    """Upstream calls, the newest first."""
    conditions = [*within(calls.c.started, span), *equal(calls, where, _OF_CALLS)]
    question = sa.select(calls).where(*conditions).order_by(calls.c.started.desc(), calls.c.id.desc()).limit(limit)
    return _rows(CallRow, connection.execute(question).mappings())


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
    return _rows(
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
    return _rows(AlertRow, connection.execute(question).mappings())


def recording_of(connection: sa.Connection) -> Recording | None:
    """What the recorder last said of itself, and how many events never came."""
    row = connection.execute(sa.select(recorder)).mappings().first()
    if row is None:
        return None
    return Recording(**{name: row[name] for name in Recording.__struct_fields__})


def _rows(kind: type[Row], found: Iterable[Mapping[Any, Any]]) -> list[Row]:
    return [row_of(kind, row) for row in found]


def row_of(kind: type[Row], row: Mapping[Any, Any]) -> Row:
    """A row as it is shown: money in US dollars."""
    known: dict[str, Any] = {str(name): value for name, value in row.items()}
    for money in ("cost", "saved"):
        nano = known.get(f"{money}_nano")
        known[f"{money}_usd"] = None if nano is None else nano / NANO
    return kind(**{name: known[name] for name in kind.__struct_fields__})
