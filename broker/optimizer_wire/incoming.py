"""What a channel receives most: deliveries, and the broker's word on what was published with a confirm.

aiormq decodes every field of three frames, hands them through two queues and starts a task for each message; that was a
third of all a coordinator did. Here a message is its consumer's as soon as its last frame is there, and a confirm its
publisher's. Every other frame goes the way that it always went.
"""

import logging
from collections.abc import Callable
from struct import Struct
from typing import Protocol

from optimizer_wire.content_header import body_bytes, properties
from optimizer_wire.deliveries import Delivery

METHOD, HEADER, BODY = 1, 2, 3
# Class and method as one number.
_DELIVER, _RETURN, _ACK, _NACK = 60 << 16 | 60, 60 << 16 | 50, 60 << 16 | 80, 60 << 16 | 120
_METHOD = Struct(">I")
_TAG_AND_BIT = Struct(">QB")
_METHOD_BYTES = 4
_REPLY_CODE_BYTES = 2

_log = logging.getLogger(__name__)

Deliver = Callable[[Delivery], None]


class Publisher(Protocol):
    """Who is told what the broker says of what was published on a channel."""

    def confirmed(self, tag: int, *, multiple: bool, taken: bool) -> None:
        """The broker has taken, or refused, a message; `multiple`: this one and all before it."""

    def returned(self, message_id: str, exchange: str, key: str) -> None:
        """No queue was bound where a message was published to."""


class Incoming:
    """The receiving side of one channel."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._consumers: dict[bytes, Deliver] = {}
        # Of the message whose frames are coming: where it was published to, if it is a returned one; who gets it (None:
        # nobody any more); its tag, whether it was delivered before; then its header, its body, and how much of that is
        # still to come.
        self._coming = False
        self._returned: tuple[str, str] | None = None
        self._deliver: Deliver | None = None
        self._tag = 0
        self._redelivered = False
        self._header = b""
        self._body: list[bytes] = []
        self._left = 0

    def consume(self, consumer: str, deliver: Deliver) -> None:
        """Hand what is delivered to a consumer to this function."""
        self._consumers[consumer.encode()] = deliver

    def forget(self, consumer: str) -> None:
        """Drop what is delivered to a consumer from now on."""
        self._consumers.pop(consumer.encode(), None)

    def take(self, kind: int, buffer: bytes, start: int, end: int) -> bool:
        """Take one frame, whose payload is this part of a buffer; False if it is none of these."""
        if kind == METHOD:
            return self._take_method(buffer, start)
        if not self._coming:
            return False
        if kind == HEADER:
            self._header = buffer[start:end]
            self._left = body_bytes(self._header)
        else:
            self._body.append(buffer[start:end])
            self._left -= end - start
        if self._left <= 0:
            self._complete()
        return True

    def _take_method(self, buffer: bytes, start: int) -> bool:
        method: int = _METHOD.unpack_from(buffer, start)[0]
        at = start + _METHOD_BYTES
        if method == _DELIVER:
            name = at + 1
            at = name + buffer[at]
            self._deliver = self._consumers.get(buffer[name:at])
            self._tag, self._redelivered = _TAG_AND_BIT.unpack_from(buffer, at)
            self._coming, self._returned = True, None
        elif method in {_ACK, _NACK}:
            tag, bits = _TAG_AND_BIT.unpack_from(buffer, at)
            self._publisher.confirmed(tag, multiple=bool(bits & 1), taken=method == _ACK)
        elif method == _RETURN:
            _, at = _short_string(buffer, at + _REPLY_CODE_BYTES)
            exchange, at = _short_string(buffer, at)
            self._coming, self._returned = True, (exchange, _short_string(buffer, at)[0])
        else:
            return False
        return True

    def _complete(self) -> None:
        deliver, returned, header, parts = self._deliver, self._returned, self._header, self._body
        self._coming, self._deliver, self._header = False, None, b""
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        if parts:
            self._body = []
        if returned is not None:
            self._publisher.returned(properties(header).message_id or "", *returned)
        elif deliver is not None:
            try:
                deliver(Delivery(self._tag, bool(self._redelivered), header, body))
            except Exception:  # noqa: BLE001 - whatever it was, it is this one message's
                # It stays unacked.
                _log.exception("a consumer failed over a message")


def _short_string(buffer: bytes, at: int) -> tuple[str, int]:
    """AMQP's short string that begins there, and where it ends."""
    end = at + 1 + buffer[at]
    return buffer[at + 1 : end].decode(errors="replace"), end
