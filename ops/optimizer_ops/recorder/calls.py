"""What events say of upstream calls. Pure.

A call has a row from its start; its end may be heard first, or alone if the start was lost.
"""

from optimizer_ops.recorder.book import Book
from optimizer_ops.recorder.values import Row, flight_of, nano, text, text_or_none, tokens, who, whole
from optimizer_wire.events import Event


def started(book: Book, event: Event) -> None:
    """A call began."""
    if not event.call_id:
        return
    row = book.calls.rows.get(text(event.call_id))
    if row is None:
        book.calls.add(_row(event, event.time))
        return
    row = book.calls.change(row["id"])
    row["started"] = min(row["started"], event.time)
    row["waited_for"], row["waited_ms"] = text_or_none(event.waited_for), event.waited_ms


def ended(book: Book, event: Event) -> Row | None:
    """A call ended, with or without an answer: its row; None if the event names no call.

    What is known of an end counts as it was told first: who takes over from a dead worker tells it once more.
    """
    if not event.call_id:
        return None
    id_ = text(event.call_id)
    if id_ not in book.calls.rows:
        call_ms = event.timings.call_ms if event.timings else 0.0
        row = book.calls.add(_row(event, event.time - call_ms / 1000))
    elif book.calls.rows[id_]["outcome"] is not None:
        return book.calls.rows[id_]
    else:
        row = book.calls.change(id_)
    row |= tokens(event.usage)
    row |= {
        "ended": event.time,
        "outcome": text_or_none(event.outcome),
        "status": event.status,
        "error_code": text_or_none(event.error_code),
        "error_signature": text_or_none(event.error_signature),
        "message": text_or_none(event.message),
        "waiters": whole(event.waiters),
        "usage": event.usage.raw if event.usage else None,
        "cost_nano": nano(event.cost_usd),
        "price_version": text_or_none(event.price_version),
    }
    if event.timings is not None:
        row |= {
            "wait_ms": event.timings.wait_ms,
            "call_ms": event.timings.call_ms,
            "total_ms": event.timings.total_ms,
        }
    if row["outcome"] == "answered" and row["flight"]:
        book.answers[row["flight"]] = id_
    return row


def _row(event: Event, started_at: float) -> Row:
    return {
        "id": text(event.call_id),
        "request_id": text(event.request_id),
        "work_id": text_or_none(event.work_id),
        "flight": flight_of(event),
        "fingerprint": text_or_none(event.fingerprint),
        **who(event),
        "backend": text(event.backend),
        "model": text(event.model),
        "worker": text(event.source),
        "attempt": whole(event.attempt),
        "started": started_at,
        "ended": None,
        "outcome": None,
        "status": None,
        "error_code": None,
        "error_signature": None,
        "message": None,
        "waiters": None,
        "waited_for": text_or_none(event.waited_for),
        "waited_ms": event.waited_ms,
        **tokens(None),
        "usage": None,
        "cost_nano": None,
        "price_version": None,
        "wait_ms": None,
        "call_ms": None,
        "total_ms": None,
        "prompt_chars": whole(event.prompt_chars),
    }
