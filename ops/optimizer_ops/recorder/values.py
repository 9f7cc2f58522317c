"""From what an event says to what columns hold. Pure."""

from typing import Any

from optimizer_ops.history.sums import TOKENS
from optimizer_ops.history.tables import NANO
from optimizer_wire.events import Event
from optimizer_wire.messages import Usage

Row = dict[str, Any]

LONGEST_TEXT = 500
# What a column of whole numbers holds, with room for sums; more is nothing that a backend means.
_MOST = 2**53


def text(value: object, longest: int = LONGEST_TEXT) -> str:
    """Text for a key column, empty if there is none. PostgreSQL takes no NUL."""
    if value is None:
        return ""
    said = str(value)
    return said if "\x00" not in said and len(said) <= longest else said.replace("\x00", "")[:longest]


def text_or_none(value: object) -> str | None:
    """Text for a column that may be empty."""
    return None if value is None else text(value)


def whole(value: int | None) -> int | None:
    """A whole number that every database can hold."""
    return None if value is None else max(-_MOST, min(value, _MOST))


def nano(usd: float | None) -> int | None:
    """US dollars in whole billionths; None if nobody knows them."""
    return None if usd is None else round(max(-_MOST, min(usd * NANO, _MOST)))


def tokens(usage: Usage | None) -> Row:
    """The columns of tokens, None where nobody knows what was used."""
    return {name: None if usage is None else whole(getattr(usage, name)) for name in TOKENS}


def who(event: Event) -> Row:
    """Who asked for what: the columns that requests and calls share."""
    return {
        "tenant": text(event.tenant),
        "agent": text(event.agent),
        "op": text(event.op),
        "task": text(event.task),
        "priority": text(event.priority.value if event.priority else None),
    }


def flight_of(event: Event) -> str | None:
    """The flight of an event's work id: all but the number of its dispatch. A call without a flight is its own."""
    if not event.work_id:
        return None
    return text(event.work_id.rsplit(".", 1)[0])
