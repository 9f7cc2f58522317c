"""The AMQP frames of the hot path as bytes: publishing and acknowledging. Pure.

The general encoder of pamqp looks up every field by name; for these few frames, which are most of what a coordinator
sends, writing them down saves four fifths of the time. Anything rarer goes through pamqp.
"""

from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct

import msgspec
import pamqp.frame
from pamqp.commands import Basic

_METHOD, _HEADER, _BODY, _END = 1, 2, 3, b"\xce"
_FRAME = Struct(">BHI")
_HEADER_FRAME = Struct(">BHIHHQH")
_HEADER_FIXED_BYTES = 14
_ACK_FRAME = Struct(">BHIHHQ?B")
_ACK_BYTES = 13
_LONG = Struct(">I")
_FRAME_OVERHEAD_BYTES = 8
_BASIC, _BASIC_ACK = 60, 80
_LONGEST_SHORT_STRING = 255


class Properties(msgspec.Struct, frozen=True):
    """The AMQP properties of a message of the optimizer; its id is its message id and its correlation id."""

    kind: str
    message_id: str
    content_type: str
    durable: bool = False
    reply_to: str | None = None
    expiration_ms: int | None = None
    user: str | None = None
    agent: str | None = None
    headers: Mapping[str, str] | None = None


def message(
    channel: int, exchange: str, key: str, properties: Properties, body: bytes, *, mandatory: bool, frame_max: int
) -> bytes:
    """Basic.Publish with its content header and body.

    :raises ValueError: if a property or the key is longer than AMQP's 255 bytes.
    """
    publish = _publish(channel, exchange, key, mandatory)
    header = _header(channel, properties, len(body))
    largest = frame_max - _FRAME_OVERHEAD_BYTES
    if len(body) <= largest:
        return b"".join((publish, header, *_body(channel, body)))
    chunks = (body[start : start + largest] for start in range(0, len(body), largest))
    return b"".join((publish, header, *(part for chunk in chunks for part in _body(channel, chunk))))


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Basic.Ack of one delivery, or of all up to it."""
    return _ACK_FRAME.pack(_METHOD, channel, _ACK_BYTES, _BASIC, _BASIC_ACK, tag, multiple, _END[0])


@lru_cache(maxsize=4096)
def _publish(channel: int, exchange: str, key: str, mandatory: bool) -> bytes:
    return pamqp.frame.marshal(Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory), channel)


def _header(channel: int, properties: Properties, size: int) -> bytes:
    """The content header: flags for the properties that are there, then these in the order of their flags."""
    flags = 0x8000 | 0x1000 | 0x0400 | 0x0080 | 0x0020
    message_id = _short(properties.message_id)
    parts = [_often(properties.content_type)]
    if properties.headers:
        flags |= 0x2000
        parts.append(_table(properties.headers))
    parts += (b"\x02" if properties.durable else b"\x01", message_id)
    if properties.reply_to:
        flags |= 0x0200
        parts.append(_often(properties.reply_to))
    if properties.expiration_ms is not None:
        flags |= 0x0100
        parts.append(_short(str(properties.expiration_ms)))
    parts += (message_id, _often(properties.kind))
    if properties.user:
        flags |= 0x0010
        parts.append(_often(properties.user))
    if properties.agent:
        flags |= 0x0008
        parts.append(_often(properties.agent))
    payload = b"".join(parts)
    length = _HEADER_FIXED_BYTES + len(payload)
    return _HEADER_FRAME.pack(_HEADER, channel, length, _BASIC, 0, size, flags) + payload + _END


def _body(channel: int, chunk: bytes) -> tuple[bytes, ...]:
    return (_FRAME.pack(_BODY, channel, len(chunk)), chunk, _END) if chunk else ()


def _short(text: str) -> bytes:
    data = text.encode()
    if len(data) > _LONGEST_SHORT_STRING:
        raise ValueError(f"{text[:40]!r}… has {len(data)} bytes; AMQP allows {_LONGEST_SHORT_STRING}.")
    return bytes((len(data),)) + data


@lru_cache(maxsize=4096)
def _often(text: str) -> bytes:
    """The same for what stands in many messages."""
    return _short(text)


def _table(headers: Mapping[str, str]) -> bytes:
    entries = b"".join([_often(name) + b"S" + _long(value) for name, value in headers.items()])
    return _LONG.pack(len(entries)) + entries


def _long(text: str) -> bytes:
    data = text.encode()
    return _LONG.pack(len(data)) + data


class Acks:
    """Acknowledgements that are gathered and then told in as few frames as order allows.

    Delivery tags of a channel count up. One ack tells all up to a tag if nothing before it is still being handled;
    what needs no ack has a tag too, and is never heard of here.
    """

    def __init__(self) -> None:
        # Delivered, and neither told nor rejected: as many as the prefetch at most.
        self._open: OrderedDict[int, None] = OrderedDict()
        self._untold: set[int] = set()

    def delivered(self, tag: int) -> None:
        """Note that a message has come which is to be acknowledged."""
        self._open[tag] = None

    def add(self, tag: int) -> None:
        """Acknowledge a delivery."""
        self._untold.add(tag)

    def settled(self, tag: int) -> None:
        """Note that a delivery was rejected, with a frame of its own that is sent before the acks."""
        self._open.pop(tag, None)

    def take(self) -> list[tuple[int, bool]]:
        """What to tell now: (tag, whether it means all up to it)."""
        if not self._untold:
            return []
        told = 0
        while self._open and (first := next(iter(self._open))) in self._untold:
            told = first
            del self._open[first]
            self._untold.remove(first)
        single = sorted(self._untold)
        for tag in single:
            self._open.pop(tag, None)
        self._untold.clear()
        return [*([(told, True)] if told else []), *((tag, False) for tag in single)]
