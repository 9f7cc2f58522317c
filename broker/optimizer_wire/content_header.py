"""The content header of an AMQP message that came in: its properties as a struct. Pure.

pamqp looks up every property by name, for every message; what is read here is most of what a coordinator gets.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec
from pamqp import decode

_FIXED = Struct(">HHQH")
_SHORT, _TABLE = -1, -2
# In the order in which they come (AMQP 0-9-1, basic class): flag, name, and how many bytes it takes, or what it is.
_FIELDS = (
    (0x8000, "content_type", _SHORT),
    (0x4000, "", _SHORT),  # content_encoding
    (0x2000, "headers", _TABLE),
    (0x1000, "", 1),  # delivery_mode
    (0x0800, "", 1),  # priority
    (0x0400, "correlation_id", _SHORT),
    (0x0200, "reply_to", _SHORT),
    (0x0100, "", _SHORT),  # expiration
    (0x0080, "message_id", _SHORT),
    (0x0040, "", 8),  # timestamp
    (0x0020, "message_type", _SHORT),
    (0x0010, "user_id", _SHORT),
    (0x0008, "app_id", _SHORT),
)


class ReceivedProperties(msgspec.Struct, frozen=True):
    """The AMQP properties of a message that came in, under AMQP's names; None is one that it does not have.

    Only `user_id` is vouched for by the broker; bytes that are no UTF-8 are replaced.
    """

    content_type: str | None = None
    headers: Mapping[str, Any] | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    message_id: str | None = None
    message_type: str | None = None
    user_id: str | None = None
    app_id: str | None = None


NO_PROPERTIES = ReceivedProperties()


def body_bytes(payload: bytes) -> int:
    """How many bytes of body follow a content header."""
    size: int = _FIXED.unpack_from(payload)[2]
    return size


def properties(payload: bytes) -> ReceivedProperties:
    """The properties in the payload of a content header frame; none at all if they cannot be read."""
    try:
        return _read(payload)
    except (ValueError, IndexError, struct.error, OverflowError, RecursionError):
        return NO_PROPERTIES


@lru_cache(maxsize=256)
def _present(flags: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, size) for flag, name, size in _FIELDS if flags & flag)


def _read(payload: bytes) -> ReceivedProperties:
    found: dict[str, Any] = {}
    at = _FIXED.size
    for name, size in _present(_FIXED.unpack_from(payload)[3]):
        if size == _TABLE:
            taken, found[name] = decode.field_table(payload[at:])
            at += taken
        elif size == _SHORT:
            start = at + 1
            at = start + payload[at]
            if name:
                found[name] = payload[start:at].decode(errors="replace")
        else:
            at += size
    return ReceivedProperties(**found)
