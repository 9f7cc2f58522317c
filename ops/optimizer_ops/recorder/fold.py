"""From a batch of events to what changes in the history. Pure."""

from collections.abc import Iterable

from optimizer_ops.history.sums import NO_ERROR
from optimizer_ops.history.tables import happenings
from optimizer_ops.recorder import calls, requests
from optimizer_ops.recorder.book import Book
from optimizer_ops.recorder.nameless import nameless
from optimizer_ops.recorder.numbers import Numbers
from optimizer_ops.recorder.values import Row, flight_of, text, text_or_none, whole
from optimizer_wire import events
from optimizer_wire.events import Event

_CALL_ENDS = frozenset({events.CALL_FINISHED, events.CALL_FAILED})
_CAME = frozenset({events.CACHE_MISS, events.COLLAPSED})
# What has a row of its own kind; everything else is a happening.
_ROWS = _CALL_ENDS | _CAME | {events.CACHE_HIT, events.CALL_STARTED}
_HAPPENING_COLUMNS = frozenset(happenings.columns.keys())


def fold(book: Book, batch: Iterable[Event], now: float) -> list[Event]:
    """Write a batch into the book, which holds all rows that it concerns; returns the events that were new.

    An event that was recorded before changes nothing: its source's number of it has been taken.
    """
    new = [event for event in batch if _is_new(book, event, now)]
    for event in new:
        if (told := nameless(event, book.forgotten)) is not None:
            _record(book, told)
    for numbers in book.numbers.values():
        book.lost += numbers.settle(now)
    book.recorded += len(new)
    return new


def _is_new(book: Book, event: Event, now: float) -> bool:
    numbers = book.numbers.setdefault(event.source, Numbers())
    # Processes of an earlier version count nothing.
    before = numbers.lost
    if event.seq and not numbers.take(event.seq, now):
        return False
    book.lost += numbers.lost - before
    source = book.sources.setdefault(event.source, {"source": event.source, "first_seen": event.time, "last_seen": 0.0})
    source["first_seen"] = min(source["first_seen"], event.time)
    source["last_seen"] = max(source["last_seen"], event.time)
    book.newest = max(book.newest, event.time)
    return True


def _record(book: Book, event: Event) -> None:
    if event.type in _CAME:
        requests.came(book, event)
    elif event.type == events.CACHE_HIT:
        requests.hit(book, event)
    elif event.type == events.CALL_STARTED:
        calls.started(book, event)
    elif event.type in _CALL_ENDS:
        _call_ended(book, event)
    else:
        book.happenings.append(_happening(event))
        if event.type == events.ERROR or (event.type == events.DEAD and event.error_code):
            requests.failed(book, event)
    _seen(book, event)


def _call_ended(book: Book, event: Event) -> None:
    known = book.calls.rows.get(text(event.call_id))
    again = known is not None and known["outcome"] is not None
    call = calls.ended(book, event)
    if call is None:
        return
    requests.call_ended(book, event, call)
    if not again:
        requests.charged(book, call)


def _happening(event: Event) -> Row:
    row: Row = {
        "id": text(event.id),
        "at": event.time,
        "type": text(event.type),
        "source": text(event.source),
        "flight": flight_of(event),
        "retry_after_s": event.retry_after_s,
        "waiters": whole(event.waiters),
    }
    for name in _HAPPENING_COLUMNS - row.keys():
        row[name] = text_or_none(getattr(event, name))
    return row


def _seen(book: Book, event: Event) -> None:
    """Whoever asks is an agent; a call is made for one, whenever it was that it asked."""
    if event.agent is None or event.tenant is None:
        return
    key = (text(event.tenant), text(event.agent))
    row = book.agents.get(key)
    if row is None:
        row = {"tenant": key[0], "agent": key[1], "first_seen": event.time, "last_seen": event.time}
        book.agents[key] = row | {"last_error": None, "last_error_code": None}
        row = book.agents[key]
    row["first_seen"] = min(row["first_seen"], event.time)
    row["last_seen"] = max(row["last_seen"], event.time)
    if event.type == events.ERROR and event.error_code not in NO_ERROR and event.time >= (row["last_error"] or 0.0):
        row["last_error"], row["last_error_code"] = event.time, text(event.error_code)
