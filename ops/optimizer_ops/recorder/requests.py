"""What events say of requests. Pure.

A request ends with its hit, with its error, or with its flight: when the flight's call is answered, or the flight ends
with an error, all of its requests do. Coordinators and workers tell in no common order, so that a request may be heard
of after its flight has ended; it ends at once then. Of several ends the earliest counts: a late copy has no say.
"""

from optimizer_ops.recorder.book import Book
from optimizer_ops.recorder.values import Row, flight_of, nano, text, text_or_none, who, whole
from optimizer_wire.events import CACHE_MISS, Event

OPEN, ANSWERED, UNKNOWN = "open", "answered", "unknown"
_TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens")


def came(book: Book, event: Event) -> None:
    """A request leads a call, or joined one that is on its way."""
    row = _known(book, event)
    if row is None:
        return
    source = "backend" if event.type == CACHE_MISS else "collapsed"
    if row["outcome"] != OPEN:
        row["source"] = row["source"] or source
        row["asked"] = min(row["asked"], event.time)
        row["flight"] = row["flight"] or flight_of(event)
        row["prompt_chars"] = row["prompt_chars"] if event.prompt_chars is None else whole(event.prompt_chars)
        return
    flight = flight_of(event)
    row |= {
        "asked": min(row["asked"], event.time),
        "flight": flight,
        "source": source,
        "prompt_chars": whole(event.prompt_chars),
    }
    if flight is None:
        return
    if flight in book.answers:
        _end_by_call(row, book.calls.rows[book.answers[flight]])
    elif flight in book.ends:
        _end_by_error(row, book.ends[flight])
    else:
        book.waiting[flight].add(row["id"])


def hit(book: Book, event: Event) -> None:
    """A request was answered from the cache; with a flight, all that waited in it were."""
    for row in _concerned(book, event):
        usage = event.usage
        row |= {
            "source": "cache",
            "backend": text(event.backend),
            "model": text(event.model),
            "outcome": ANSWERED,
            "ended": event.time,
            "saved_nano": nano(event.saved_usd),
            "age_s": event.age_s,
            "input_tokens": whole(usage.input_tokens) if usage else None,
            "output_tokens": whole(usage.output_tokens) if usage else None,
            "cached_input_tokens": whole(usage.cached_input_tokens) if usage else None,
            "cache_write_tokens": whole(usage.cache_write_tokens) if usage else None,
        }
        row["total_ms"] = row["wait_ms"] = _since(row, event.time)


def call_ended(book: Book, event: Event, call: Row) -> None:
    """An upstream call ended: who waits in its flight was answered, or nobody waits any more."""
    if event.outcome == "cancelled":
        _fail(book, event, "deadline_exceeded", "Nobody waited for the answer any more.")
        return
    if event.outcome != ANSWERED:
        return
    for row in _concerned(book, event):
        _end_by_call(row, call)


def charged(book: Book, call: Row) -> None:
    """The cost of a call is known: its request pays it."""
    row = book.requests.rows.get(call["request_id"])
    if row is None or call["cost_nano"] is None or row["tenant"] != call["tenant"]:
        return
    row = book.requests.change(row["id"])
    row["cost_nano"] = (row["cost_nano"] or 0) + call["cost_nano"]


def failed(book: Book, event: Event) -> None:
    """A request ended with an error; with a flight, all that waited in it did."""
    _fail(book, event, text(event.error_code) or "internal", text_or_none(event.message))


def _fail(book: Book, event: Event, code: str, message: str | None) -> None:
    end = {"at": event.time, "code": code, "message": message, "backend": text(event.backend)}
    end["model"] = text(event.model)
    if flight := flight_of(event):
        book.ends.setdefault(flight, end)
    for row in _concerned(book, event):
        _end_by_error(row, end)


def _concerned(book: Book, event: Event) -> list[Row]:
    """The open requests that an event ends: the one that it names, and those that wait in its flight."""
    rows = []
    own = _known(book, event)
    if own is not None and _may_end(own, event):
        rows.append(own)
    flight = flight_of(event)
    for id_ in book.waiting.pop(flight, ()) if flight else ():
        row = book.requests.change(id_)
        if row is not own and row["outcome"] == OPEN:
            rows.append(row)
    return rows


def _may_end(row: Row, event: Event) -> bool:
    return row["outcome"] in (OPEN, UNKNOWN) or event.time < row["ended"]


def _known(book: Book, event: Event) -> Row | None:
    """The row of the request that an event names, made if need be; None if it is another's or nobody's.

    An id is chosen by who asks: that of another tenant is another request. A message that could not be understood has
    no tenant: it is no request, and ends nobody's.
    """
    id_ = text(event.request_id)
    if not id_:
        return None
    row = book.requests.rows.get(id_)
    if event.tenant is None or (row is not None and row["tenant"] != text(event.tenant)):
        return None
    if row is None:
        return book.requests.add(_row(event, id_))
    row = book.requests.change(id_)
    for name, value in who(event).items():
        row[name] = row[name] or value
    row["fingerprint"] = row["fingerprint"] or text_or_none(event.fingerprint)
    row["tags"] = row["tags"] or event.tags or None
    return row


def _end_by_call(row: Row, call: Row) -> None:
    leads = row["id"] == call["request_id"]
    row |= {
        "source": "backend" if leads else "collapsed",
        "backend": call["backend"],
        "model": call["model"],
        "outcome": ANSWERED,
        "message": None,
        "ended": max(call["ended"], row["asked"]),
        "saved_nano": None if leads else call["cost_nano"],
        "call_ms": call["call_ms"],
        "flight": row["flight"] or call["flight"],
        **{name: call[name] for name in _TOKENS},
    }
    # The worker has it from the request itself; of the others only two clocks tell.
    row["total_ms"] = call["total_ms"] if leads and call["total_ms"] is not None else _since(row, row["ended"])
    row["wait_ms"] = max(0.0, row["total_ms"] - (call["call_ms"] or 0.0))


def _end_by_error(row: Row, end: Row) -> None:
    row |= {
        "outcome": end["code"],
        "message": end["message"],
        "backend": row["backend"] or end["backend"],
        "model": row["model"] or end["model"],
        "ended": max(end["at"], row["asked"]),
        "saved_nano": None,
        "call_ms": None,
        "wait_ms": None,
        "age_s": None,
        **dict.fromkeys(_TOKENS),
    }
    row["total_ms"] = _since(row, row["ended"])


def _since(row: Row, at: float) -> float:
    asked: float = row["asked"]
    return max(0.0, (at - asked) * 1000)


def _row(event: Event, id_: str) -> Row:
    total_ms = event.timings.total_ms if event.timings else 0.0
    return {
        "id": id_,
        "asked": event.time - total_ms / 1000,
        "ended": None,
        **who(event),
        "fingerprint": text_or_none(event.fingerprint),
        "flight": flight_of(event),
        "source": None,
        "backend": "",
        "model": "",
        "outcome": OPEN,
        "message": None,
        "input_tokens": None,
        "output_tokens": None,
        "cached_input_tokens": None,
        "cache_write_tokens": None,
        "cost_nano": None,
        "saved_nano": None,
        "wait_ms": None,
        "call_ms": None,
        "total_ms": None,
        "age_s": None,
        "prompt_chars": whole(event.prompt_chars),
        "tags": event.tags or None,
    }
