"""Whether a message on a call queue is a call that a worker can handle. Pure."""

import msgspec

from optimizer_wire.codec import MAX_BODY_BYTES, MAX_NAME_BYTES, check_json, decode
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.messages import CALL_TYPE, Call, Waiter


class _Carried(msgspec.Struct):
    waiter: Waiter


_carried = msgspec.msgpack.Decoder(_Carried)


def understood(kind: str | None, body: bytes) -> Call:
    """The call in a message of this type.

    :raises OptimizerError: if it is none, or one that no worker could handle.
    """
    if kind != CALL_TYPE:
        raise InvalidRequest(f"A message on a call queue is not a call ({CALL_TYPE}).")
    call = decode(body, Call)
    if not 0 <= call.hop < len(call.route):
        raise InvalidRequest("The call has no station on its route.")
    if not _can_be_told(call.waiter):
        raise InvalidRequest(f"The waiter's id and address may have at most {MAX_NAME_BYTES} bytes each.")
    # What JSON cannot say would fail at every worker that tries to send it to its backend.
    check_json(call.params)
    return call


def waiter_in(body: bytes) -> Waiter | None:
    """Who waits for a call that cannot be understood otherwise, if that much can be read."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        waiter = _carried.decode(body).waiter
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    return waiter if _can_be_told(waiter) else None


def _can_be_told(waiter: Waiter) -> bool:
    return max(len(waiter.id.encode()), len(waiter.reply_to.encode())) <= MAX_NAME_BYTES
