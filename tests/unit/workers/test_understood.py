"""What a worker takes for a call: the right type, a station on its route, and what JSON can say."""

import msgpack
import pytest

from optimizer_wire.calls import understood
from optimizer_wire.codec import encode
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.messages import CALL_TYPE, REQUEST_TYPE, Call, Hop, Waiter


def call(params=None, **fields):
    waiter = Waiter("r", "q", 1, "agent", "tenant")
    return Call(1, "f", 1, 1, waiter, params or {}, (Hop("b", "m"),), **fields)


def test_a_call():
    """A call is understood."""
    assert understood(CALL_TYPE, encode(call({"messages": []}))) == call({"messages": []})


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (encode(call()), REQUEST_TYPE, "is not a call"),
        (encode(call()), None, "is not a call"),
        (b"garbage", CALL_TYPE, "cannot be understood"),
        (encode(call(hop=1)), CALL_TYPE, "no station"),
        (encode(call(hop=-1)), CALL_TYPE, "no station"),
        (encode(call({"k": float("nan")})), CALL_TYPE, "NaN"),
        (encode(call({"k": b"bytes"})), CALL_TYPE, "bytes"),
        (msgpack.packb({"v": 2}), CALL_TYPE, "version 2"),
    ],
)
def test_what_is_not(body, kind, words):
    """Anything else is refused with the reason, before it is held."""
    with pytest.raises(InvalidRequest, match=words):
        understood(kind, body)
