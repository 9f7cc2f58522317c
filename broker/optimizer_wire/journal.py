"""The journal: every event once more, for the recorder. What is told in one turn of the loop is one message.

Subscribers of `<prefix>.events` choose by its key what they hear, so that there each event is a message. The recorder
wants them all: a message of its own for each would cost RabbitMQ as much as the request that it is about. A message of
the journal is a msgpack array of the events as they were encoded for the subscribers.
"""

from collections.abc import Sequence
from struct import Struct

import msgspec

from optimizer_wire.channel import Channel
from optimizer_wire.codec import MAX_BODY_BYTES, decode, refuse_extension
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.events import Event
from optimizer_wire.frames import Properties
from optimizer_wire.messages import CONTENT_TYPE, EVENTS_TYPE, VERSION
from optimizer_wire.topology import JOURNAL_MESSAGE_BYTES, Names

# msgpack's array of up to 15 elements, whose number is in its first byte, and of up to 65,535.
_FEW, _MOST_FEW = 0x90, 15
_MANY = Struct(">BH")
_MANY_KIND = 0xDC

_events = msgspec.msgpack.Decoder(list[Event], ext_hook=refuse_extension)
_parts = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Journal:
    """Gathers what is told on one channel, and publishes it there before the channel's next acks."""

    def __init__(self, channel: Channel, names: Names) -> None:
        self._channel = channel
        self._exchange = names.journal
        self._first = ""
        self._bodies: list[bytes] = []
        self._bytes = 0
        channel.before_writing(self._publish)

    def add(self, name: str, body: bytes) -> None:
        """Add an event, by its id and as it is encoded."""
        if self._bytes + len(body) > JOURNAL_MESSAGE_BYTES:
            self._publish()
        if not self._bodies:
            self._first = name
        self._bodies.append(body)
        self._bytes += len(body)

    def _publish(self) -> None:
        if self._bodies:
            bodies, self._bodies, self._bytes = self._bodies, [], 0
            self._channel.publish(self._exchange, "", *together(self._first, bodies))


def together(first: str, bodies: Sequence[bytes]) -> tuple[bytes, Properties]:
    """A message of the journal: encoded events, the first of which has this id."""
    count = len(bodies)
    head = bytes((_FEW | count,)) if count <= _MOST_FEW else _MANY.pack(_MANY_KIND, count)
    return b"".join((head, *bodies)), Properties(EVENTS_TYPE, first, content_type=CONTENT_TYPE)


def told_in(body: bytes) -> tuple[list[Event], list[InvalidRequest]]:
    """The events of a message of the journal, and what is wrong with those that cannot be understood.

    A single event is one too: processes of earlier versions send no other.
    """
    if len(body) <= MAX_BODY_BYTES:
        try:
            events = _events.decode(body)
        except (msgspec.MsgspecError, RecursionError, ValueError):
            pass
        else:
            if all(event.v == VERSION for event in events):
                return events, []
    return _one_by_one(body)


def _one_by_one(body: bytes) -> tuple[list[Event], list[InvalidRequest]]:
    try:
        parts = [bytes(part) for part in _parts.decode(body)]
    except (msgspec.MsgspecError, RecursionError, ValueError):
        parts = [body]
    events, errors = [], []
    for part in parts:
        try:
            events.append(decode(part, Event))
        except InvalidRequest as error:
            errors.append(error)
    return events, errors
