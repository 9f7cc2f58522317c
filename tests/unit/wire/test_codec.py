"""The codec: what is written can be read, here and by anybody; whatever else comes is refused in words."""

import math
from contextlib import suppress

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support import strategies

from optimizer_wire.codec import MAX_BODY_BYTES, MAX_DEPTH, MAX_NAME_BYTES, check_json, decode, encode, peek_id
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.events import Event
from optimizer_wire.messages import CachePolicy, Call, Priority, Reply, Request

KINDS = (Request, Reply, Call, Event)
some = settings(max_examples=40, deadline=None)
many = settings(max_examples=300, deadline=None)


def plain(message):
    """A message as maps and lists."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(msgspec.to_builtins(message)))


def body(**fields):
    """A request as some other program would write it."""
    return msgpack.packb({"v": 1, "id": "i", "agent": "a", "params": {}, **fields})


def raw_params(raw):
    """A request whose parameter `k` is these bytes."""
    return b"\x84" + b"".join(map(msgpack.packb, ("v", 1, "id", "i", "agent", "a", "params"))) + b"\x81\xa1k" + raw


@some
@given(strategies.messages)
def test_round_trip(message):
    """Every message that is encoded is decoded to an equal one."""
    assert decode(encode(message), type(message)) == message


@some
@given(strategies.requests | strategies.calls | strategies.events)
def test_others_read_what_we_write(message):
    """An independent msgpack library reads the same maps."""
    assert msgpack.unpackb(encode(message)) == plain(message)


@some
@given(strategies.requests | strategies.calls | strategies.events)
def test_we_read_what_others_write(message):
    """What an independent msgpack library writes decodes to the same message."""
    assert decode(msgpack.packb(msgspec.to_builtins(message)), type(message)) == message


@some
@given(strategies.params)
def test_result_of_a_reply_travels_untouched(result):
    """A result is passed on as bytes, and whoever reads the reply with another library finds it in its place."""
    reply = Reply(1, "i", ok=True, result=msgspec.Raw(msgspec.msgpack.encode(result)))

    assert msgpack.unpackb(encode(reply))["result"] == result
    assert msgspec.msgpack.decode(decode(encode(reply), Reply).result) == result


def refused_or_read(data):
    for kind in KINDS:
        with suppress(InvalidRequest):
            assert isinstance(decode(data, kind), kind)
    assert peek_id(data) is None or len(peek_id(data).encode()) <= MAX_NAME_BYTES


@many
@given(st.binary(max_size=200))
@example(raw_params(b"\x81\x81\x01\x02\x03"))  # a map as a key
@example(raw_params(b"\xdd\xff\xff\xff\xff"))  # an array of 4 billion that is not there
@example(raw_params(b"\xdf\xff\xff\xff\xff"))
@example(raw_params(b"\xc6\xff\xff\xff\xff"))
@example(raw_params(b"\xc7\x0c\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff"))  # a time out of range
@example(raw_params(b"\xa2\xff\xff"))  # text that is not UTF-8
@example(b"\x81\xa1z" + b"\x91" * 1_000_000 + b"\x01")  # an unknown field, deeper than the stack
def test_any_bytes(data):
    """Any bytes are either a valid message or refused as an invalid request; nothing else happens."""
    refused_or_read(data)


@some
@given(
    strategies.messages, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), st.integers(0)
)
def test_damaged_messages(message, changes, cut):
    """So are messages with changed bytes or a missing end."""
    data = bytearray(encode(message))
    for at, byte in changes:
        data[at % len(data)] = byte
    refused_or_read(bytes(data[: cut % (len(data) + 1)] if cut % 3 == 0 else data))


@some
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys([*Request.__struct_fields__, *Call.__struct_fields__, "x"], strategies.msgpack_values),
    )
)
def test_any_fields(fields):
    """So are maps with our field names and values of any type."""
    refused_or_read(msgpack.packb(fields))


@some
@given(strategies.msgpack_values)
def test_parameters_are_json(value):
    """What passes `check_json` can be written as JSON and read back equal."""
    try:
        check_json(decode(body(params={"k": value}), Request).params)
    except InvalidRequest:
        return
    assert msgspec.json.decode(msgspec.json.encode(value)) == value


@some
@given(strategies.json_values)
def test_json_passes(value):
    """Everything that JSON can say passes, apart from its depth."""
    check_json(decode(body(params={"k": value}), Request).params)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "NaN"),
        (-math.inf, "NaN"),
        (b"bytes", "bytes"),
        (msgpack.Timestamp(1), "datetime"),
        ({1: "x"}, "must be text, not int"),
        ({(1,): "x"}, "must be text, not tuple"),
    ],
)
def test_what_json_cannot_say(value, words):
    """NaN, bytes, extension types and other keys than text are refused, at any place, with a word about it."""
    params = decode(body(params={"list": [1, {"deep": value}]}), Request).params

    with pytest.raises(InvalidRequest, match=words):
        check_json(params)


@pytest.mark.parametrize("kind", [Request, Event])
def test_extension_types(kind):
    """An extension type of msgpack is refused where a field takes any value, ignored where nobody knows the field."""
    extension = msgpack.ExtType(5, b"x")
    event = {"type": "optimizer.x", "source": "s"}
    with pytest.raises(InvalidRequest, match="extension type 5"):
        decode(body(**event, params={"a": [extension]}, usage={"raw": {"a": [extension]}}), kind)

    assert decode(body(**event, news=extension), kind).v == 1


def test_integers_have_64_bits():
    """The largest integers of msgpack pass; a larger one, which only our own code could make, is refused."""
    check_json({"k": [2**64 - 1, -(2**63)]})
    with pytest.raises(InvalidRequest, match="64 bits"):
        check_json({"k": 2**64})
    with pytest.raises(InvalidRequest, match="cannot be encoded"):
        encode(Request(1, "i", "a", {"k": 2**64}))


def nested(levels):
    """Lists in a list, so deep."""
    return raw_params(b"\x91" * levels + b"\x01")


def test_depth():
    """Parameters nested to the limit pass; deeper ones are refused, 2,000 and a million deep ones too."""
    check_json(decode(nested(MAX_DEPTH - 1), Request).params)
    with pytest.raises(InvalidRequest, match="deeper than 64"):
        check_json(decode(nested(MAX_DEPTH), Request).params)
    for levels in (2_000, 1_000_000):
        with pytest.raises(InvalidRequest, match="recursion"):
            decode(nested(levels), Request)


def test_size():
    """A message of exactly 8 MiB passes both ways; one byte more is refused both ways, with the numbers."""
    frame = len(encode(Request(1, "i", "a", {"k": "x" * 70_000}))) - 70_000
    largest = Request(1, "i", "a", {"k": "x" * (MAX_BODY_BYTES - frame)})
    larger = Request(1, "i", "a", {"k": "x" * (MAX_BODY_BYTES - frame + 1)})

    assert decode(encode(largest), Request) == largest
    with pytest.raises(InvalidRequest, match=r"8,388,609 bytes; at most 8,388,608"):
        encode(larger)
    with pytest.raises(InvalidRequest, match=r"8,388,609 bytes; at most 8,388,608"):
        decode(msgspec.msgpack.encode(larger), Request)
    assert peek_id(msgspec.msgpack.encode(larger)) is None


@pytest.mark.parametrize("fields", [{}, {"params": 5}, {"agent": None}, {"priority": "whatever"}])
def test_another_version(fields):
    """Another version is named as such, even where its fields differ from ours."""
    with pytest.raises(InvalidRequest, match="version 7; this optimizer speaks version 1"):
        decode(body(v=7, **fields), Request)


def test_unknown_fields_are_ignored():
    """A field of a newer neighbour is ignored, at the top and below."""
    request = decode(body(news={"a": [1]}, cache={"mode": "off", "news": 1}), Request)

    assert request == Request(1, "i", "a", {}, cache=CachePolicy("off"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": 5}, r"Expected `str`, got `int` - at `\$.id`"),
        ({"id": ""}, r"length >= 1 - at `\$.id`"),
        ({"agent": "a" * 201}, r"length <= 200 - at `\$.agent`"),
        ({"timeout_ms": 0}, r">= 1 - at `\$.timeout_ms`"),
        ({"cache": {"mode": "sometimes"}}, r"at `\$.cache.mode`"),
        ({"cache": {"ttl_s": -1}}, r"at `\$.cache.ttl_s`"),
        ({"priority": "urgent"}, r"at `\$.priority`"),
        ({"tags": {"a": 1}}, r"at `\$.tags\[...\]`"),
    ],
)
def test_wrong_field(fields, words):
    """A wrong type or value is refused with its place."""
    with pytest.raises(InvalidRequest, match=words):
        decode(body(**fields), Request)


def test_missing_field():
    """A missing field is named."""
    with pytest.raises(InvalidRequest, match="missing required field `agent`"):
        decode(msgpack.packb({"v": 1, "id": "i", "params": {}}), Request)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (msgpack.packb({"v": 1, "id": "known"}), "known"),
        (msgpack.packb({"v": 9, "id": "known", "params": 5}), "known"),
        (msgpack.packb({"v": 1}), None),
        (msgpack.packb({"v": 1, "id": "é" * 127}), "é" * 127),
        (msgpack.packb({"v": 1, "id": "é" * 128}), None),
        (msgpack.packb({"v": 1, "id": 5}), None),
        (b"garbage", None),
    ],
)
def test_peek_id(data, found):
    """The id is found in a message that cannot be decoded, if it is text that AMQP can carry."""
    assert peek_id(data) == found


def test_priorities_have_an_order():
    """Interactive before standard before batch."""
    assert sorted(Priority, key=lambda p: p.rank) == [Priority.INTERACTIVE, Priority.STANDARD, Priority.BATCH]


def test_work_id():
    """A dispatch of a flight is named by fingerprint, flight and number; a call without a flight by its request."""
    call = decode(
        msgpack.packb(
            {
                "v": 1,
                "fingerprint": "f",
                "flight": 3,
                "number": 2,
                "waiter": {"id": "r", "reply_to": "q", "deadline_ms": 1, "agent": "a", "tenant": "t"},
                "params": {},
                "route": [],
            }
        ),
        Call,
    )

    assert call.work_id == "f.3.2"
    assert msgspec.structs.replace(call, flight=0).work_id == "r"
