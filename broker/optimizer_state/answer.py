"""How a flight ended, as Redis keeps it. Pure."""

import msgspec

from optimizer_wire.messages import NO_RESULT, ErrorInfo, Task, Usage


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a flight ended, as Redis keeps it: for later requests in the cache, and for the flight's own waiters.

    `tenant` and `agent` are whose call it was, `since_ms` when they asked, `namespace` the one of the cache (None: not
    known). `Flights.complete` fills them in, to find what is to be forgotten or flushed.
    `call_id` and `price_version` are told by whoever takes over from a worker that died before it could tell of it.
    `dead`: the call's message belongs to the dead letters.
    """

    ok: bool
    leader: str
    stored_ms: int
    tenant: str = ""
    since_ms: int = 0
    agent: str = ""
    namespace: str | None = None
    result: msgspec.Raw = NO_RESULT
    backend: str | None = None
    model: str | None = None
    task: Task | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    call_ms: float = 0.0
    attempts: int = 0
    call_id: str | None = None
    price_version: str | None = None
    error: ErrorInfo | None = None
    dead: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Answer)


def packed(answer: Answer) -> bytes:
    """An answer for Redis."""
    return _encoder.encode(answer)


def unpacked(blob: bytes) -> Answer:
    """An answer from Redis."""
    return _decoder.decode(blob)
