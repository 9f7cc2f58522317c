"""Dead letters: what RabbitMQ says of a message that it moved there, and the form in which it is kept. Pure.

A kept letter is the body as it was, in a message whose headers say where it comes from and why. What the broker says
(`x-death`, `user_id`) does not survive being published again, so that it is written down.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from optimizer_wire.frames import Properties
from optimizer_wire.messages import CANCEL_TYPE, DEAD_TYPE, REQUEST_TYPE, SUBMIT_TYPE

REQUEST_TYPES = frozenset({REQUEST_TYPE, SUBMIT_TYPE, CANCEL_TYPE})
_PREFIX = "x-optimizer-"
_LONGEST = 1_000
_ID_BYTES = 6


class DeadLetter(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One message that could not be handled.

    `id` is the same for copies of it. `why` is the broker's word (`rejected`, `delivery_limit`, `expired`, `maxlen`;
    `published` if somebody put it there), `reason` a sentence. `queue` is where it died at `died_ms` (Unix
    milliseconds), and `exchange` and `key` how it had come there. `kind`, `user`, `reply_to` and `request_id` are its
    properties, as far as it has them.
    """

    id: str
    why: str
    died_ms: int
    queue: str = ""
    exchange: str = ""
    key: str = ""
    kind: str = ""
    user: str = ""
    reply_to: str = ""
    request_id: str = ""
    agent: str = ""
    tenant: str = ""
    reason: str = ""
    body: bytes = b""

    def kept(self, keep_ms: int) -> Properties:
        """The properties under which it is kept for so long."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name not in {"id", "body"}}
        headers = {f"{_PREFIX}{name.replace('_', '-')}": str(value) for name, value in fields.items() if value}
        return Properties(DEAD_TYPE, self.id, "application/octet-stream", True, None, keep_ms, headers=headers)


def died(properties: Any, body: bytes, sender: str | None, now_ms: int) -> DeadLetter:
    """A message on the queue of dead letters; `sender` is its RabbitMQ user. Nothing in it need be well-formed."""
    headers = _map(properties.headers)
    deaths = headers.get("x-death")
    death = _map(deaths[0]) if isinstance(deaths, list) and deaths else {}
    keys = death.get("routing-keys")
    at = death.get("time")
    died_ms = round(at.timestamp() * 1000) if isinstance(at, datetime) else now_ms
    kind, request_id = _text(properties.message_type), _text(properties.message_id or properties.correlation_id)
    queue, why = _text(death.get("queue")), _text(death.get("reason")) or "published"
    parts = (kind, request_id, _text(properties.reply_to), queue, why, str(died_ms if death else 0))
    return DeadLetter(
        id=hashlib.blake2b("\0".join(parts).encode() + b"\0" + body, digest_size=_ID_BYTES).hexdigest(),
        why=why,
        died_ms=died_ms,
        queue=queue,
        exchange=_text(death.get("exchange")),
        key=_text(keys[0]) if isinstance(keys, list) and keys else "",
        kind=kind,
        user=_text(sender),
        reply_to=_text(properties.reply_to),
        request_id=request_id,
        agent=_text(properties.app_id),
        body=body,
    )


def kept_letter(properties: Any, body: bytes) -> DeadLetter:
    """A message on the queue of kept letters."""
    headers = _map(properties.headers)
    fields = {
        name: _text(headers.get(f"{_PREFIX}{name.replace('_', '-')}"))
        for name in DeadLetter.__struct_fields__
        if name not in {"id", "body", "died_ms"}
    }
    died_ms = _text(headers.get(f"{_PREFIX}died-ms"))
    fields["why"] = fields["why"] or "published"
    return DeadLetter(
        id=_text(properties.message_id) or hashlib.blake2b(body, digest_size=_ID_BYTES).hexdigest(),
        died_ms=int(died_ms) if died_ms.isdecimal() and len(died_ms) < 16 else 0,
        body=body,
        **fields,
    )


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Printable text of a bounded length; anything else is nothing."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value[:_LONGEST])
