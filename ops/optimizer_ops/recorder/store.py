"""Reads from the history what a batch concerns, and writes what has become of it, in one transaction."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from optimizer_ops.history import tables
from optimizer_ops.history.database import DatabaseUnavailable, migrate, writing
from optimizer_ops.history.sums import KEYS, by_day, latencies_by_day
from optimizer_ops.recorder.book import Book
from optimizer_ops.recorder.fold import fold
from optimizer_ops.recorder.numbers import Gap, Numbers
from optimizer_ops.recorder.values import Row, flight_of, text
from optimizer_wire import events
from optimizer_wire.events import Event

_SUMS = tuple(column.name for column in tables.hourly.columns if not column.primary_key)
_ENDS_FLIGHTS = frozenset({events.CALL_FINISHED, events.CALL_FAILED, events.CACHE_HIT, events.ERROR, events.DEAD})
_COMES = frozenset({events.CACHE_MISS, events.COLLAPSED})
_HAS_REQUEST = _ENDS_FLIGHTS | _COMES


class HistoryStore:
    """The history as the recorder writes it."""

    def __init__(self, engine: Engine, instance: str) -> None:
        self._engine = engine
        self._instance = instance
        # After a failure the database may be another one: a file that was replaced, a backup of an earlier version.
        self._doubted = False

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._doubted:
            migrate(self._engine)
            self._doubted = False
        try:
            with writing(self._engine) as connection:
                yield connection
        except DatabaseUnavailable:
            self._doubted = True
            raise

    def record(self, batch: Sequence[Event], waiting: int) -> tuple[list[Event], int]:
        """Write a batch; returns the events that were new, and how many count as lost since.

        :raises DatabaseUnavailable: nothing was written.
        """
        with self._writing() as connection:
            now = time.time()
            book = Book()
            _load(connection, book, batch)
            new = fold(book, batch, now)
            _write(connection, book)
            _beat(connection, book, self._instance, waiting, now)
        return new, book.lost

    def settle(self, waiting: int) -> int:
        """Say that the recorder lives, and count what has been missing for too long; returns how many.

        :raises DatabaseUnavailable: nothing was written.
        """
        with self._writing() as connection:
            now = time.time()
            book = Book()
            # A gap that is counted stays in the list: whoever comes after all is to be recognised.
            for row in connection.execute(sa.select(tables.sources).where(tables.sources.c.unsettled)).mappings():
                book.numbers[row["source"]] = _numbers(dict(row))
                book.sources[row["source"]] = dict(row)
            fold(book, (), now)
            _write_sources(connection, book)
            _beat(connection, book, self._instance, waiting, now)
        return book.lost


def _load(connection: Connection, book: Book, batch: Sequence[Event]) -> None:
    requests, calls, happenings = tables.requests, tables.calls, tables.happenings
    forgotten = connection.execute(sa.select(tables.forgotten)).mappings()
    book.forgotten = {row["tenant"]: row["until"] for row in forgotten}
    ids = {text(event.request_id) for event in batch if event.request_id and event.type in _HAS_REQUEST}
    book.load_requests(_rows(connection, requests, requests.c.id, ids))
    ended = {flight for event in batch if event.type in _ENDS_FLIGHTS and (flight := flight_of(event))}
    book.load_requests(_rows(connection, requests, requests.c.flight, ended, requests.c.outcome == "open"))
    call_ids = {text(event.call_id) for event in batch if event.call_id}
    book.load_calls(_rows(connection, calls, calls.c.id, call_ids))
    came = {flight for event in batch if event.type in _COMES and (flight := flight_of(event))}
    book.load_calls(_rows(connection, calls, calls.c.flight, came, calls.c.outcome == "answered"))
    for row in _rows(connection, happenings, happenings.c.flight, came, happenings.c.error_code.is_not(None)):
        book.ends.setdefault(
            row["flight"],
            {
                "at": row["at"],
                "code": row["error_code"],
                "message": row["message"],
                "backend": row["backend"] or "",
                "model": row["model"] or "",
            },
        )
    sources = {event.source for event in batch}
    for row in _rows(connection, tables.sources, tables.sources.c.source, sources):
        book.sources[row["source"]] = row
        book.numbers[row["source"]] = _numbers(row)
    agents = {text(event.agent) for event in batch if event.agent}
    for row in _rows(connection, tables.agents, tables.agents.c.agent, agents):
        book.agents[row["tenant"], row["agent"]] = row


def _rows(
    connection: Connection, table: sa.Table, column: sa.Column[Any], values: Iterable[str], *where: Any
) -> list[Row]:
    chosen = list(values)
    if not chosen:
        return []
    found = connection.execute(sa.select(table).where(column.in_(chosen), *where))
    return [dict(row) for row in found.mappings()]


def write_rows(connection: Connection, book: Book) -> None:
    """Write requests and calls that were added or have changed, and what that does to the sums."""
    for table, kept in ((tables.requests, book.requests), (tables.calls, book.calls)):
        if added := kept.added():
            connection.execute(table.insert(), added)
        if changed := kept.changed():
            _replace(connection, table, changed)
    if sums := book.hours():
        for table, begin, parts in ((tables.hourly, "hour", sums), (tables.daily, "day", by_day(sums))):
            rows = [
                dict(zip((begin, *KEYS), key, strict=True)) | {name: sum_.get(name, 0) for name in _SUMS}
                for key, sum_ in parts.items()
            ]
            _add(connection, table, _SUMS, rows)
    if counts := book.latencies():
        levels = ((tables.hourly_latency, "hour", counts), (tables.daily_latency, "day", latencies_by_day(counts)))
        for table, begin, numbers in levels:
            names = (begin, "by", "name", "bucket")
            rows = [dict(zip(names, key, strict=True)) | {"requests": count} for key, count in numbers.items()]
            _add(connection, table, ("requests",), rows)


def _write(connection: Connection, book: Book) -> None:
    write_rows(connection, book)
    if book.happenings:
        # The number of an event of an earlier version says nothing, but its id does.
        connection.execute(
            _insert(connection.dialect.name, tables.happenings).on_conflict_do_nothing(), book.happenings
        )
    _write_sources(connection, book)
    if book.agents:
        _replace(connection, tables.agents, list(book.agents.values()))


def _write_sources(connection: Connection, book: Book) -> None:
    rows = [
        {
            "source": source,
            "first_seq": numbers.first,
            "last_seq": numbers.last,
            "received": numbers.received,
            "lost": numbers.lost,
            "gaps": [[gap.first, gap.last, gap.since, gap.counted] for gap in numbers.gaps],
            "unsettled": numbers.unsettled,
            "first_seen": book.sources[source]["first_seen"],
            "last_seen": book.sources[source]["last_seen"],
        }
        for source, numbers in book.numbers.items()
        if source in book.sources
    ]
    if rows:
        _replace(connection, tables.sources, rows)


def _beat(connection: Connection, book: Book, instance: str, waiting: int, now: float) -> None:
    """One row says that the recorder lives and how it does."""
    row = {
        "id": 1,
        "instance": instance,
        "beat": now,
        "newest": book.newest or None,
        "recorded": book.recorded,
        "lost": book.lost,
        "waiting": waiting,
    }
    connection.execute(_beating(connection.dialect.name), row)


def _numbers(row: Row) -> Numbers:
    gaps = [Gap(*gap) for gap in row["gaps"]]
    return Numbers(row["first_seq"], row["last_seq"], row["received"], row["lost"], gaps)


# Statements are the same for every batch, and making one costs as much as writing a hundred rows.


def _replace(connection: Connection, table: sa.Table, rows: list[Row]) -> None:
    connection.execute(_replacing(connection.dialect.name, table), rows)


def _add(connection: Connection, table: sa.Table, sums: tuple[str, ...], rows: list[Row]) -> None:
    connection.execute(_adding(connection.dialect.name, table, sums), rows)


@cache
def _replacing(dialect: str, table: sa.Table) -> Any:
    keys = [column.name for column in table.primary_key]
    upsert = _insert(dialect, table)
    values = {column.name: upsert.excluded[column.name] for column in table.columns if not column.primary_key}
    return upsert.on_conflict_do_update(index_elements=keys, set_=values)


@cache
def _adding(dialect: str, table: sa.Table, sums: tuple[str, ...]) -> Any:
    keys = [column.name for column in table.primary_key]
    upsert = _insert(dialect, table)
    values = {name: table.c[name] + upsert.excluded[name] for name in sums}
    return upsert.on_conflict_do_update(index_elements=keys, set_=values)


@cache
def _beating(dialect: str) -> Any:
    table = tables.recorder
    upsert = _insert(dialect, table)
    excluded = upsert.excluded
    return upsert.on_conflict_do_update(
        index_elements=["id"],
        set_={
            "instance": excluded.instance,
            "beat": excluded.beat,
            "newest": sa.func.coalesce(excluded.newest, table.c.newest),
            "recorded": table.c.recorded + excluded.recorded,
            "lost": table.c.lost + excluded.lost,
            "waiting": excluded.waiting,
        },
    )


def _insert(dialect: str, table: sa.Table) -> Any:
    """An insert that can say what to do about a row that is there; both databases know the same words for it."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)
