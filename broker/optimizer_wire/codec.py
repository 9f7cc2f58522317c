"""Messages to bytes and back: msgpack on the wire, validated into structs in one pass.

Every limit is checked before a message is believed: size, version, depth, and the types that JSON knows.
"""

import math
from functools import cache
from typing import Any, NoReturn, TypeVar

import msgspec

from optimizer_wire.errors import InvalidRequest
from optimizer_wire.messages import VERSION

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 64
# Ids and agents' names travel as AMQP properties, whose length is one byte.
MAX_NAME_BYTES = 255
_MAX_INT = 2**64

M = TypeVar("M", bound=msgspec.Struct)

_encoder = msgspec.msgpack.Encoder()


class _Versioned(msgspec.Struct):
    v: int
    id: str = ""


_versioned = msgspec.msgpack.Decoder(_Versioned)


def encode(message: msgspec.Struct) -> bytes:
    """Encode a message.

    :raises InvalidRequest: if it would exceed `MAX_BODY_BYTES`, nests too deep, or holds what msgpack cannot say.
    """
    try:
        body = _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"The message cannot be encoded: {error}.") from error
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequest(f"The message has {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are allowed.")
    return body


@cache
def _decoder(kind: type[M]) -> msgspec.msgpack.Decoder[M]:
    return msgspec.msgpack.Decoder(kind, ext_hook=refuse_extension)


def refuse_extension(code: int, _data: memoryview) -> NoReturn:
    """For decoders of what came over the wire: none of msgpack's extensions is in any field, whatever its place.

    :raises ValueError: always.
    """
    raise ValueError(f"it holds msgpack's extension type {code}, which JSON cannot say")


def decode(body: bytes, kind: type[M]) -> M:
    """Decode and validate one message of the given kind.

    :raises InvalidRequest: with a sentence that says what is wrong: too large, not msgpack, another version, a missing
        or mistyped field, nested too deep.
    """
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequest(f"The message has {len(body):,} bytes; at most {MAX_BODY_BYTES:,} are allowed.")
    try:
        message: M = _decoder(kind).decode(body)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _explained(body, error) from error
    if (version := getattr(message, "v", VERSION)) != VERSION:
        raise _wrong_version(version)
    return message


def _explained(body: bytes, error: Exception) -> InvalidRequest:
    """A message of another version may differ in any field: say that rather than name the field."""
    try:
        version = _versioned.decode(body).v
    except (msgspec.MsgspecError, RecursionError, ValueError):
        version = VERSION
    if version != VERSION:
        return _wrong_version(version)
    return InvalidRequest(f"The message cannot be understood: {error}.")


def _wrong_version(version: int) -> InvalidRequest:
    return InvalidRequest(f"The message has version {version}; this optimizer speaks version {VERSION}.")


def peek_id(body: bytes) -> str | None:
    """The id of a message that could not be decoded, if it has one that AMQP can carry; else None."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        found = _versioned.decode(body).id
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return found if found and len(found.encode()) <= MAX_NAME_BYTES else None


def check_json(value: Any, depth: int = 0) -> None:
    """Make sure that a decoded value is something JSON can say, at most `MAX_DEPTH` deep.

    :raises InvalidRequest: if it holds bytes, timestamps, NaN, other keys than text, or nests deeper.
    """
    if depth > MAX_DEPTH:
        raise InvalidRequest(f"The parameters are nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise InvalidRequest(f"A parameter name must be text, not {type(key).__name__}.")
            check_json(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            check_json(item, depth + 1)
    else:
        _check_scalar(value)


def _check_scalar(value: Any) -> None:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRequest("A parameter is NaN or infinite, which JSON cannot say.")
    elif isinstance(value, int):
        if not -_MAX_INT < value < _MAX_INT:
            raise InvalidRequest("A parameter is an integer of more than 64 bits.")
    elif value is not None and not isinstance(value, str):
        raise InvalidRequest(f"The parameters hold a value of type {type(value).__name__}, which JSON cannot say.")
