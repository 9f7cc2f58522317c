"""Frames as they come from the socket, in any pieces: whole messages for their consumers, the rest for aiormq."""

import asyncio
import struct
from collections.abc import Sequence
from contextlib import suppress

import aiormq.exceptions
import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader

from optimizer_wire.deliveries import Delivery
from optimizer_wire.frame_reader import MUCH_BYTES, FrameReader
from optimizer_wire.incoming import Incoming


class Told:
    """What a publisher was told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def confirmed(self, tag: int, *, multiple: bool, taken: bool) -> None:
        self.said.append((tag, multiple, taken))

    def returned(self, message_id: str, exchange: str, key: str) -> None:
        self.said.append((message_id, exchange, key))


class Nobody:
    """Does not rest."""

    def heard(self) -> None:
        """Something came."""

    async def rest(self) -> None:
        """Go on at once."""


def message(channel: int, method: Basic.Deliver | Basic.Return, parts: Sequence[bytes], **properties: object) -> bytes:
    """The frames of one message, its body in these parts."""
    header = ContentHeader(body_size=sum(map(len, parts)), properties=Basic.Properties(**properties))
    return b"".join(pamqp.frame.marshal(each, channel) for each in (method, header, *map(ContentBody, parts)))


def read(chunks: Sequence[bytes], channels: dict[int, Incoming]) -> list[object]:
    """Read a connection that ends after these chunks; returns the frames that aiormq gets."""

    async def reading() -> list[object]:
        stream = asyncio.StreamReader()
        for chunk in chunks:
            stream.feed_data(chunk)
        stream.feed_eof()
        found: list[object] = []
        with suppress(aiormq.exceptions.AMQPConnectionError):
            async for _, _, frame in FrameReader(stream, channels, Nobody()):
                found.append(frame)
        return found

    return asyncio.run(reading())


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(1, 60))
def test_a_message_comes_whole_however_its_bytes_come(parts: list[bytes], size: int):
    """Whatever pieces the socket gives, a consumer gets the body, the tag and the properties as they were sent."""
    got: list[Delivery] = []
    incoming = Incoming(Told())
    incoming.consume("c", got.append)
    sent = message(
        3,
        Basic.Deliver("c", 7, True, "x", "k"),
        [part for part in parts if part],
        content_type="text/plain",
        headers={"x-delivery-count": 2},
        delivery_mode=2,
        priority=1,
        correlation_id="cö",
        reply_to="r",
        expiration="5",
        message_id="m",
        message_type="t",
        user_id="u",
        app_id="a",
    )

    read([sent[at : at + size] for at in range(0, len(sent), size)], {3: incoming})

    (delivery,) = got
    known = delivery.properties
    assert (delivery.body, delivery.tag, delivery.redelivered) == (b"".join(parts), 7, True)
    assert (known.correlation_id, known.reply_to, known.message_id) == ("cö", "r", "m")
    assert (known.message_type, known.user_id, known.app_id, known.content_type) == ("t", "u", "a", "text/plain")
    assert delivery.deliveries == 2


def test_messages_of_two_channels_may_be_mixed():
    """The frames of one channel between those of another one change nothing in either message."""
    got: dict[int, list[bytes]] = {1: [], 2: []}
    channels = {number: Incoming(Told()) for number in got}
    for number, incoming in channels.items():
        incoming.consume("c", lambda delivery, number=number: got[number].append(delivery.body))
    frames = {
        number: [
            pamqp.frame.marshal(Basic.Deliver("c", 1, False, "", ""), number),
            pamqp.frame.marshal(ContentHeader(body_size=4, properties=Basic.Properties()), number),
            pamqp.frame.marshal(ContentBody(b"%d-" % number), number),
            pamqp.frame.marshal(ContentBody(b"%d." % number), number),
        ]
        for number in got
    }

    read([b"".join(one + two for one, two in zip(frames[1], frames[2], strict=True))], channels)

    assert got == {1: [b"1-1."], 2: [b"2-2."]}


def test_confirms_and_returns_reach_their_publisher_in_order():
    """A returned message is told before the confirm that follows it; acks and refusals say for how many they are."""
    told = Told()
    returned = message(1, Basic.Return(312, "NO_ROUTE", "x", "k"), [b"body"], message_id="m1")
    acks = [Basic.Ack(1), Basic.Ack(5, True), Basic.Nack(6, False, False), Basic.Nack(9, True, False)]

    read([returned + b"".join(pamqp.frame.marshal(each, 1) for each in acks)], {1: Incoming(told)})

    assert told.said == [("m1", "x", "k"), (1, False, True), (5, True, True), (6, False, False), (9, True, False)]


def test_other_frames_are_left_to_aiormq():
    """Answers of the broker, and what is for a channel that takes nothing itself, are handed on as they are."""
    frames = [(Channel.CloseOk(), 1), (Basic.ConsumeOk("c"), 1), (Basic.Ack(1), 2)]

    found = read([b"".join(pamqp.frame.marshal(*each) for each in frames)], {1: Incoming(Told())})

    assert [type(each) for each in found] == [Channel.CloseOk, Basic.ConsumeOk, Basic.Ack]


def test_a_consumer_that_fails_or_ended_harms_no_other():
    """An exception in a consumer, or a message for one that was ended, leaves the messages after it as they are."""
    got: list[bytes] = []
    incoming = Incoming(Told())
    incoming.consume("bad", lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    incoming.consume("ended", lambda delivery: got.append(delivery.body))
    incoming.consume("good", lambda delivery: got.append(delivery.body))
    incoming.forget("ended")

    read([message(1, Basic.Deliver(to, 1, False, "", ""), [b"x"]) for to in ("bad", "ended", "good")], {1: incoming})

    assert got == [b"x"]


def test_unreadable_properties_are_none():
    """Properties that end too soon, or hold bytes that are no UTF-8, harm nothing: what cannot be read is not there."""
    torn = Delivery(1, False, b"\0\x3c\0\0" + bytes(8) + b"\x80\0\xff", b"")
    odd = Delivery(1, False, b"\0\x3c\0\0" + bytes(8) + b"\0\x80\x02\xff\xfe", b"")

    assert torn.properties.content_type is None or torn.properties.content_type == ""
    assert odd.properties.message_id == "\ufffd\ufffd"


def test_properties_nested_too_deep_are_none():
    """Whoever nests a header ten thousand deep sends a message without properties, not one that nobody can take."""
    table = b"\0\0\0\0"
    for _ in range(10_000):
        table = struct.pack(">I", len(table) + 3) + b"\1aF" + table

    deep = Delivery(1, False, b"\0\x3c\0\0" + bytes(8) + b"\x20\0" + table, b"")

    assert deep.properties.headers is None


def test_a_frame_that_does_not_end_where_it_says_ends_the_connection():
    """Bytes that are no frames are told as such, not read as a message."""

    async def reading() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(pamqp.frame.marshal(Basic.Ack(1), 1)[:-1] + b"\0")
        await anext(FrameReader(stream, {}, Nobody()))

    with pytest.raises(aiormq.exceptions.InvalidFrameError):
        asyncio.run(reading())


def test_it_rests_when_there_was_no_more():
    """It rests before it reads again after little, and goes on at once after much."""
    rested: list[int] = []
    small, large = pamqp.frame.marshal(Basic.Ack(1), 1), pamqp.frame.marshal(ContentBody(bytes(MUCH_BYTES)), 1)

    async def reading() -> None:
        stream = asyncio.StreamReader()
        found: list[object] = []

        class Resting(Nobody):
            """Much comes while the reader rests."""

            async def rest(self) -> None:
                rested.append(len(found))
                stream.feed_data(large)
                asyncio.get_running_loop().call_later(0.01, stream.feed_data, small)

        stream.feed_data(small)
        frames = FrameReader(stream, {}, Resting())
        while len(found) < 3:
            found.append(await anext(frames))

    asyncio.run(asyncio.wait_for(reading(), 10))

    assert rested == [1]
