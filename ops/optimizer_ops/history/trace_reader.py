"""Finds the rows that tell of one request."""

import sqlalchemy as sa

from optimizer_ops.history.rows import requests_like, row_of
from optimizer_ops.history.tables import calls, happenings, requests
from optimizer_ops.history.trace import OF_BACKENDS, trace_of
from optimizer_ops.history.views import CallRow, Happening, RequestRow, Trace

# A request that nobody answers may have many.
MOST = 500
_SHOWN = 5


class SeveralRequests(Exception):
    """The beginning of an id is that of several requests; the message names some."""


def trace(connection: sa.Connection, beginning: str, now: float) -> Trace | None:
    """The way of the request with this id, or the only one whose id begins so; None if there is none.

    :raises SeveralRequests: if there are several.
    """
    found = requests_like(connection, beginning, _SHOWN + 1) if beginning else []
    exact = [each for each in found if each.id == beginning]
    if len(found) > 1 and not exact:
        more = " and more" if len(found) > _SHOWN else ""
        ids = ", ".join(each.id for each in found[:_SHOWN])
        raise SeveralRequests(f"Several requests begin with {beginning}: {ids}{more}. Say more of the id.")
    return _trace(connection, (exact or found)[0], now) if found else None


def _trace(connection: sa.Connection, request: RequestRow, now: float) -> Trace:
    made = _calls(connection, request)
    leader = _leader(connection, request, made)
    own = _own(connection, request, leader)
    end = now if request.ended is None else request.ended
    backends = {call.backend for call in made} | {each.backend for each in own if each.backend}
    question = sa.select(happenings).where(
        happenings.c.at >= request.asked,
        happenings.c.at <= end,
        happenings.c.type.in_(OF_BACKENDS),
        happenings.c.backend.in_(backends),
        happenings.c.request_id.is_(None),
    )
    around = connection.execute(question.order_by(happenings.c.at).limit(MOST)).mappings()
    return trace_of(request, leader, made, own, [row_of(Happening, row) for row in around], now)


def _calls(connection: sa.Connection, request: RequestRow) -> list[CallRow]:
    """Its own calls, and those of its flight, which may be another tenant's if its answer is public."""
    table = calls.c
    own = sa.and_(table.request_id == request.id, table.tenant == request.tenant)
    which = sa.or_(own, table.flight == request.flight) if request.flight else own
    question = sa.select(calls).where(which).order_by(table.started).limit(MOST)
    return [row_of(CallRow, row) for row in connection.execute(question).mappings()]


def _leader(connection: sa.Connection, request: RequestRow, made: list[CallRow]) -> RequestRow | None:
    """Whose call it joined."""
    if not request.flight or request.source != "collapsed":
        return None
    named = next((call.request_id for call in made), None)
    question = sa.select(requests).where(requests.c.flight == request.flight, requests.c.id != request.id)
    first = requests.c.id == named if named else requests.c.source == "backend"
    row = connection.execute(question.where(first).order_by(requests.c.asked).limit(1)).mappings().first()
    return None if row is None else row_of(RequestRow, row)


def _own(connection: sa.Connection, request: RequestRow, leader: RequestRow | None) -> list[Happening]:
    """What was told of the request, and of the call that it led or joined."""
    ids = [request.id, *([leader.id] if leader else [])]
    named = happenings.c.request_id.in_(ids)
    told = sa.or_(named, happenings.c.flight == request.flight) if request.flight else named
    question = sa.select(happenings).where(told).order_by(happenings.c.at).limit(MOST)
    found = [row_of(Happening, row) for row in connection.execute(question).mappings()]
    return [each for each in found if each.request_id in (None, *ids)]
