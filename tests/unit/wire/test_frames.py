"""The frames written down by hand, beside those of pamqp."""

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from optimizer_wire.frames import Acks, Properties, ack, message

SHORT = st.text(min_size=1, max_size=60)
PROPERTIES = st.builds(
    Properties,
    SHORT,
    SHORT,
    SHORT,
    st.booleans(),
    st.none() | SHORT,
    st.none() | st.integers(0, 10**9),
    st.none() | SHORT,
    st.none() | SHORT,
    # pamqp sorts the names of a table.
    st.none()
    | st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=300), max_size=5).map(
        lambda table: dict(sorted(table.items()))
    ),
)


def by_pamqp(channel: int, exchange: str, key: str, p: Properties, body: bytes, mandatory: bool, size: int) -> bytes:
    """The same message by the general encoder."""
    known = Basic.Properties(
        content_type=p.content_type,
        headers=dict(p.headers) if p.headers else None,
        delivery_mode=2 if p.durable else 1,
        correlation_id=p.message_id,
        message_id=p.message_id,
        reply_to=p.reply_to,
        expiration=None if p.expiration_ms is None else str(p.expiration_ms),
        message_type=p.kind,
        user_id=p.user,
        app_id=p.agent,
    )
    frames = [
        Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory),
        ContentHeader(body_size=len(body), properties=known),
        *(ContentBody(body[start : start + size]) for start in range(0, len(body), size)),
    ]
    return b"".join(pamqp.frame.marshal(frame, channel) for frame in frames)


@given(st.integers(1, 65535), SHORT, PROPERTIES, st.binary(max_size=3000), st.booleans())
def test_messages_are_those_of_the_general_encoder(channel, key, properties, body, mandatory):
    """A published message is byte for byte what pamqp makes of it, split bodies included."""
    ours = message(channel, "optimizer.calls", key, properties, body, mandatory=mandatory, frame_max=1008)

    assert ours == by_pamqp(channel, "optimizer.calls", key, properties, body, mandatory, 1000)


@given(st.integers(1, 65535), st.integers(1, 2**63 - 1), st.booleans())
def test_acks_are_those_of_the_general_encoder(channel, tag, multiple):
    """An ack is byte for byte what pamqp makes of it."""
    assert ack(channel, tag, multiple=multiple) == pamqp.frame.marshal(
        Basic.Ack(delivery_tag=tag, multiple=multiple), channel
    )


def test_a_text_too_long_for_amqp_is_refused():
    """A property of more than 255 bytes is a ValueError, not a broken frame."""
    with pytest.raises(ValueError, match="has 256 bytes"):
        message(1, "", "key", Properties("k", "ø" * 128, "t"), b"", mandatory=False, frame_max=1000)


def acks_of(*tags: int) -> Acks:
    """A channel on which these were delivered."""
    acks = Acks()
    for tag in tags:
        acks.delivered(tag)
    return acks


def test_acks_in_order_are_one():
    """Everything up to a tag is one ack; what lies beyond a gap is told one by one."""
    acks = acks_of(*range(1, 8))
    for tag in (2, 1, 3, 6, 5):
        acks.add(tag)

    assert acks.take() == [(3, True), (5, False), (6, False)]
    assert acks.take() == []

    acks.add(4)
    acks.add(7)

    assert acks.take() == [(7, True)]


def test_a_rejected_delivery_does_not_hold_up_the_rest():
    """A tag that was rejected counts as settled but is never the tag of an ack: the broker forgot it."""
    acks = acks_of(1, 2, 3, 4)
    acks.add(1)
    acks.settled(2)

    assert acks.take() == [(1, True)]

    acks.add(3)
    acks.settled(4)

    assert acks.take() == [(3, True)]


def test_what_needs_no_ack_does_not_hold_up_the_rest():
    """Tags of deliveries that need no ack leave no gap, and nothing is kept of what has been told."""
    acks = acks_of(1, 3, 6)
    for tag in (1, 3, 6):
        acks.add(tag)

    assert acks.take() == [(6, True)]
    assert not acks._open


@given(st.permutations(list(range(1, 40))), st.sets(st.integers(1, 39)), st.integers(1, 7))
def test_every_delivery_is_told_exactly_once(order, rejected, every):
    """In any order, every delivery is told once, and no ack means one that is neither acked nor rejected by then."""
    acks, open_tags, done = acks_of(*sorted(order)), set(order), set()
    for i, tag in enumerate(order):
        if tag in rejected:
            acks.settled(tag)
            open_tags.discard(tag)
        else:
            acks.add(tag)
            done.add(tag)
        if i % every and i < len(order) - 1:
            continue
        for told, multiple in acks.take():
            meant = {t for t in open_tags if t <= told} if multiple else {told}
            assert told in meant
            assert meant <= done & open_tags
            open_tags -= meant
    assert not open_tags - done
