"""Events as processes tell them, and a look at what a history has made of them."""

import itertools
from collections import Counter
from typing import Any

import sqlalchemy as sa

from optimizer_ops.history import sums, tables
from optimizer_wire import events
from optimizer_wire.events import Event
from optimizer_wire.messages import VERSION, Priority, Timings, Usage

NOON = 1_795_000_000.0


class Fleet:
    """Tells events of one coordinator and one worker at times of its own choosing, each source numbered from 1."""

    def __init__(self) -> None:
        self._numbers: dict[str, itertools.count[int]] = {}
        self.now = NOON

    def tell(self, type_: str, source: str, **fields: Any) -> Event:
        self.now += 0.01
        number = next(self._numbers.setdefault(source, itertools.count(1)))
        who = {"agent": "quality", "tenant": "acme", "op": "chat", "task": "code", "priority": Priority.INTERACTIVE}
        return Event(v=VERSION, type=type_, source=source, seq=number, time=self.now, **{**who, **fields})

    def asked(self, request: str, work: str, **fields: Any) -> Event:
        return self.tell(events.CACHE_MISS, "coordinator/a", request_id=request, work_id=work, **fields)

    def joined(self, request: str, work: str, **fields: Any) -> Event:
        return self.tell(events.COLLAPSED, "coordinator/b", request_id=request, work_id=work, **fields)

    def hit(self, request: str, saved: float | None = 0.002, **fields: Any) -> Event:
        return self.tell(
            events.CACHE_HIT,
            "coordinator/a",
            **{
                "request_id": request,
                "backend": "groq",
                "model": "m",
                "saved_usd": saved,
                "age_s": 3.0,
                "usage": Usage(7, 9),
                "timings": Timings(1.0, 0.0, 1.0),
                **fields,
            },
        )

    def call(self, kind: str, request: str, work: str, call: str, **fields: Any) -> Event:
        return self.tell(
            kind,
            fields.pop("source", "worker/groq/1"),
            **{
                "request_id": request,
                "work_id": work,
                "call_id": call,
                "backend": "groq",
                "model": "m",
                "attempt": 1,
                **fields,
            },
        )

    def started(self, request: str, work: str, call: str, **fields: Any) -> Event:
        return self.call(events.CALL_STARTED, request, work, call, **fields)

    def finished(self, request: str, work: str, call: str, cost: float | None = 0.004, **fields: Any) -> Event:
        usage = Usage(100, 50, 10, 5, 3, raw={"prompt_tokens": 100, "completion_tokens": 50})
        result = {"outcome": "answered", "status": 200, "usage": usage, "cost_usd": cost, "price_version": "p1"}
        timings = Timings(20.0, 400.0, 420.0)
        return self.call(events.CALL_FINISHED, request, work, call, **{**result, "timings": timings, **fields})

    def failed(self, request: str, work: str, call: str, outcome: str = "throttled", **fields: Any) -> Event:
        return self.call(
            events.CALL_FAILED, request, work, call, **{"outcome": outcome, "error_code": "x", "status": 429, **fields}
        )

    def error(self, request: str, code: str, **fields: Any) -> Event:
        source = fields.pop("source", "worker/groq/1")
        return self.tell(events.ERROR, source, request_id=request, error_code=code, message="Why.", **fields)


def rows(engine: sa.Engine, table: sa.Table) -> dict[Any, dict[str, Any]]:
    """A whole table by its first key."""
    key = next(iter(table.primary_key)).name
    with engine.connect() as connection:
        return {row[key]: dict(row) for row in connection.execute(sa.select(table)).mappings()}


def assert_sums_hold(engine: sa.Engine) -> None:
    """The sums by hour are those of the rows, by a way that shares nothing with how they were written but `sums.py`."""
    names = [column.name for column in tables.hourly.columns if not column.primary_key]
    wanted: dict[tuple[Any, ...], Counter[str]] = {}
    durations: Counter[Any] = Counter()
    for table, at, adds in ((tables.requests, "asked", sums.of_request), (tables.calls, "started", sums.of_call)):
        for row in rows(engine, table).values():
            key = (sums.hour_of(row[at]), *(row[name] for name in sums.KEYS))
            wanted.setdefault(key, Counter()).update(adds(row))
            if table is tables.requests:
                durations.update(sums.latencies_of(row))
    with engine.connect() as connection:
        found = {
            tuple(row[name] for name in ("hour", *sums.KEYS)): row
            for row in connection.execute(sa.select(tables.hourly)).mappings()
        }
        counted = {
            (row["hour"], row["by"], row["name"], row["bucket"]): row["requests"]
            for row in connection.execute(sa.select(tables.hourly_latency)).mappings()
            if row["requests"]
        }
    for key, row in found.items():
        for name in names:
            assert abs(row[name] - wanted.get(key, Counter())[name]) < 1e-3, (key, name)
    assert wanted.keys() <= found.keys()
    assert counted == dict(durations)
