"""Reads the history. Blocking: call it from a thread in an asyncio process; one object serves many threads."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

from sqlalchemy.engine import Engine

from optimizer_ops.history import rows, trace_reader
from optimizer_ops.history.agents import profiles
from optimizer_ops.history.database import DatabaseUnavailable, check_version, open_engine, reading
from optimizer_ops.history.latencies import buckets_by
from optimizer_ops.history.search import requests_of
from optimizer_ops.history.spans import Span, span_of
from optimizer_ops.history.sums import KEYS
from optimizer_ops.history.timeline import timeline
from optimizer_ops.history.totals import kept, sums_by, totals_of
from optimizer_ops.history.views import (
    AgentProfile,
    AlertRow,
    CallRow,
    Dimension,
    Happening,
    Point,
    Recording,
    RequestRow,
    Share,
    Totals,
    Trace,
)

HistoryUnavailable = DatabaseUnavailable
"""The history cannot be read; the message says why and what to do."""


class History:
    """The history of one deployment. Every method raises `HistoryUnavailable`.

    `since` and `until` are Unix seconds, from and to before; without `until` all that there is. `where` names the
    values that rows must have. Sums are of the requests asked and of the calls started in the span, to the second as
    long as there are rows (`[history] keep_days`), else of whole hours: see `covered`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the history for reading.

        :raises HistoryUnavailable: if there is none yet, or its tables are of another version.
        """
        engine = open_engine(url)
        with reading(engine) as connection:
            check_version(connection)
        return cls(engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def covered(self, since: float, until: float | None = None) -> Span:
        """The span that sums are really of: wider where it begins or ends in an hour whose rows have gone."""
        with reading(self._engine) as connection:
            return span_of(since, until, lambda hour: kept(connection, hour))

    def totals(self, since: float, until: float | None = None, **where: str) -> Totals:
        """Sums over a span, of some keys' values (`agent="quality"`, `backend="groq"`, …).

        :raises ValueError: if `where` names something that is no `Dimension`.
        """
        with reading(self._engine) as connection:
            span = span_of(since, until, lambda hour: kept(connection, hour))
            sums = sums_by(connection, span, (), where).get((), Counter())
            buckets = buckets_by(connection, span, (), where)
        return totals_of(sums, None if buckets is None else buckets.get((), Counter()))

    def shares(
        self, by: Dimension, since: float, until: float | None = None, *, percentiles: bool = True, **where: str
    ) -> list[Share]:
        """Sums by a dimension, the most costly first, then the most calls.

        Without `percentiles` they are None: of two dimensions together they must be found row by row, which takes
        about a second for a million.

        :raises ValueError: if `by` or `where` names something that is no `Dimension`.
        """
        if by not in KEYS:
            raise ValueError(f"There are no shares by {by}, only by {', '.join(KEYS)}.")
        with reading(self._engine) as connection:
            span = span_of(since, until, lambda hour: kept(connection, hour))
            sums = sums_by(connection, span, (by,), where)
            buckets = buckets_by(connection, span, (by,), where) if percentiles else None
        shares = [
            Share(name=name[0], totals=totals_of(each, None if buckets is None else buckets.get(name, Counter())))
            for name, each in sums.items()
        ]
        return sorted(
            shares, key=lambda share: (-share.totals.cost_usd, -share.totals.calls, -share.totals.requests, share.name)
        )

    def timeline(self, since: float, until: float | None = None, *, step_s: float, **where: str) -> list[Point]:
        """Sums by step, oldest first, steps without any request too.

        Steps begin at multiples of `step_s`, the first at or before `since`; those of an hour and more are whole hours.

        :raises ValueError: if that is no step, or there are too many of them.
        """
        with reading(self._engine) as connection:
            return timeline(connection, since, until, step_s, where)

    def agents(self, since: float) -> list[AgentProfile]:
        """Every agent ever seen, the one seen last first; sums since then."""
        with reading(self._engine) as connection:
            span = span_of(since, None, lambda hour: kept(connection, hour))
            return profiles(connection, span, time.time())

    def requests(
        self,
        since: float,
        until: float | None = None,
        *,
        limit: int = 50,
        before: str | None = None,
        slowest: bool = False,
        failed: bool = False,
        **where: str,
    ) -> list[RequestRow]:
        """Requests asked in the span, the newest (or the slowest) first.

        `before` is the id of the last one of the page before; `failed` are those that ended with an error.

        :raises ValueError: if `where` names something that requests cannot be asked by.
        """
        with reading(self._engine) as connection:
            span = since, _end(until)
            return requests_of(connection, span, where, limit=limit, before=before, slowest=slowest, failed=failed)

    def requests_like(self, beginning: str, limit: int = 10) -> list[RequestRow]:
        """Requests whose ids begin so, the newest first."""
        with reading(self._engine) as connection:
            return rows.requests_like(connection, beginning, limit)

    def calls(self, since: float, until: float | None = None, *, limit: int = 50, **where: str) -> list[CallRow]:
        """Upstream calls, the newest first.

        :raises ValueError: if `where` names something that calls cannot be asked by.
        """
        with reading(self._engine) as connection:
            return rows.calls_of(connection, (since, _end(until)), where, limit)

    def trace(self, request_id: str) -> Trace | None:
        """One request's whole way, by its id or the beginning of it; None if it is not known.

        :raises SeveralRequests: if several ids begin so.
        """
        with reading(self._engine) as connection:
            return trace_reader.trace(connection, request_id, time.time())

    def happenings(self, since: float, *, types: Sequence[str] = (), limit: int = 100, **where: str) -> list[Happening]:
        """Other events, the newest first; a type that ends in `.*` means all below it.

        :raises ValueError: if `where` names something that events cannot be asked by.
        """
        with reading(self._engine) as connection:
            return rows.happenings_of(connection, (since, math.inf), types, where, limit)

    def recording(self) -> Recording | None:
        """How the recorder does; None if there was never one."""
        with reading(self._engine) as connection:
            return rows.recording_of(connection)

    def alerts(self, since: float, *, open_only: bool = False) -> list[AlertRow]:
        """What is or was wrong at some moment since then: what lasts first, then the latest."""
        with reading(self._engine) as connection:
            return rows.alerts_of(connection, since, open_only=open_only)


def _end(until: float | None) -> float:
    return math.inf if until is None else until
