"""A seeded fuzzer: mutates recorded messages, their bytes, their fields and their AMQP properties.

Most of what it makes is nearly right, which gets further than noise. The same seed makes the same messages.
"""

import datetime as dt
import decimal
import random
from dataclasses import dataclass, field
from typing import Any

import msgpack

ODD: tuple[Any, ...] = (
    None,
    True,
    "",
    "\x00",
    "x" * 300,
    "é" * 200,
    "\ud7ff\uffff",
    "../../etc/passwd\r\nX: y",
    b"\xff\xfe",
    0,
    -1,
    -(2**63),
    2**64 - 1,
    2**53 + 1,
    float("nan"),
    float("inf"),
    -1e308,
    5e-324,
    [],
    {},
    [[]],
    {"": ""},
    {"v": 1},
    msgpack.Timestamp(1),
    msgpack.ExtType(5, b"x"),
    ["x"] * 50,
)
ODD_HEADERS: tuple[dict[str, Any], ...] = (
    {"nested": {"deeper": {"x": [1, "two", {"three": 3}]}}},
    {"array": [1, None, True, b"bytes", [2]]},
    {"decimal": decimal.Decimal("1.5"), "time": dt.datetime(2001, 2, 3, tzinfo=dt.UTC)},
    {"traceparent": [], "attempt": {"a": 1}, "cloudEvents:id": decimal.Decimal(1)},
    {"x-death": "often", "x-delivery-count": "many", "CC": []},
    {"long": "x" * 60_000},
    {"none": None, "no": False, "minus": -(2**63)},
)


@dataclass(frozen=True)
class Recorded:
    """A message as it was on the wire."""

    body: bytes
    properties: dict[str, Any] = field(default_factory=dict)


class Mutator:
    """Makes bad messages out of good ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def mutate(self, message: Recorded) -> Recorded:
        """One message, changed in one or more ways; now and then not at all, which is a replay."""
        body, properties = message.body, dict(message.properties)
        for _ in range(self._random.choice((0, 1, 1, 1, 2, 3))):
            change = self._random.choice((self._bytes, self._fields, self._fields, self._fields, None))
            if change is None:
                properties = self._properties(properties)
            else:
                body = change(body)
        return Recorded(body, properties)

    def _bytes(self, body: bytes) -> bytes:
        at = self._random.randrange(len(body) + 1)
        match self._random.randrange(6):
            case 0:
                return body[:at]
            case 1:
                return body[at:]
            case 2:
                return body[:at] + self._random.randbytes(self._random.randrange(1, 9)) + body[at:]
            case 3:
                return body[:at] + self._random.randbytes(4) + body[at + 4 :]
            case 4:
                return body[:at] + b"\x91" * self._random.choice((10, 100, 5_000)) + body[at:]
            case _:
                return body * 2

    def _fields(self, body: bytes) -> bytes:
        """Replace, drop, add or double something in the map, at any depth."""
        try:
            value = msgpack.unpackb(body, strict_map_key=False)
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
            return self._bytes(body)
        holders = [holder for holder in _holders(value) if holder]
        if not holders:
            return self._bytes(body)
        holder = self._random.choice(holders)
        key = self._random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        match self._random.randrange(8):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[f"unknown-{key}"] = self._odd()
            case 2:
                holder[key] = [holder[key]]
            case 3:
                holder[key] = str(holder[key]) * self._random.choice((2, 1_000))
            case _:
                holder[key] = self._odd()
        try:
            return msgpack.packb(value)
        except (ValueError, OverflowError, RecursionError):
            return body

    def _odd(self) -> Any:
        odd = self._random.choice(ODD)
        return msgpack.unpackb(msgpack.packb(odd), strict_map_key=False, timestamp=0) if odd else odd

    def _properties(self, properties: dict[str, Any]) -> dict[str, Any]:
        """Drop one, say another type, or add headers that nobody expects."""
        match self._random.randrange(4):
            case 0 if properties:
                properties.pop(self._random.choice(list(properties)))
            case 1:
                properties["headers"] = self._random.choice(ODD_HEADERS)
            case 2:
                properties["content_type"] = self._random.choice(("", "application/json", "x" * 255))
            case _:
                kinds = (
                    "",
                    "optimizer.cancel.v1",
                    "optimizer.call.v1",
                    "optimizer.reply.v1",
                    "optimizer.submit.v1",
                    "é",
                )
                properties["type"] = self._random.choice((*kinds, "optimizer.fetch.v1", "optimizer.request.v99"))
        return properties


def _holders(value: Any) -> list[Any]:
    """All maps and lists in a value, itself included."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(holder for item in inner for holder in _holders(item))]
