"""Unit tests of the journal: what is told in one turn is one message, and one bad event spoils no other."""

import msgpack
import pytest

from optimizer_wire import events
from optimizer_wire.codec import encode
from optimizer_wire.events import event
from optimizer_wire.journal import Journal, together, told_in
from optimizer_wire.topology import JOURNAL_MESSAGE_BYTES, Names


class Recording:
    """A channel that keeps what is sent; `turn` ends a turn of the loop."""

    def __init__(self):
        self.sent = []
        self.turn = None

    def before_writing(self, add):
        self.turn = add

    def publish(self, exchange, key, body, said):
        self.sent.append((exchange, key, body, said))


def made(count):
    return [event(events.COLLAPSED, "coordinator/a", request_id=str(n)) for n in range(count)]


@pytest.mark.parametrize("count", [1, 15, 16, 50])
def test_a_turn_is_one_message(count):
    """All events of one turn of the loop are one message, whose elements are what subscribers get, in their order."""
    channel = Recording()
    journal, told = Journal(channel, Names("here")), made(count)
    for each in told:
        journal.add(each.id, encode(each))
    assert not channel.sent

    channel.turn()
    channel.turn()

    [(exchange, _, body, said)] = channel.sent
    assert exchange == "here.journal"
    assert (said.kind, said.message_id) == ("optimizer.events.v1", told[0].id)
    assert msgpack.unpackb(body) == [msgpack.unpackb(encode(each)) for each in told]
    assert told_in(body) == (told, [])


def test_a_message_is_bounded():
    """However much is told in one turn, no message is larger than the bound; one event that is goes alone."""
    channel = Recording()
    journal = Journal(channel, Names("here"))
    large = encode(event(events.OPERATOR, "operator/a", message="x" * JOURNAL_MESSAGE_BYTES))
    for body in [*map(encode, made(1_000)), large, encode(made(1)[0])]:
        journal.add("id", body)
    channel.turn()

    sizes = [len(body) for _, _, body, _ in channel.sent]
    assert sum(len(told_in(body)[0]) for _, _, body, _ in channel.sent) == 1_002
    assert sum(size > JOURNAL_MESSAGE_BYTES + 3 for size in sizes) == 1
    assert len(sizes) < 20


def test_a_bad_event_spoils_no_other():
    """Of a message with an event that cannot be understood the others are taken, and what is wrong is said."""
    first, last = made(2)
    newer = msgpack.packb({"v": 2, "type": "optimizer.x", "source": "s"})
    odd = msgpack.packb({"v": 1, "type": "x", "source": "s", "usage": {"raw": {"a": msgpack.ExtType(5, b"x")}}})
    body, _ = together("id", [encode(first), b"\x01", newer, odd, encode(last)])

    told, wrong = told_in(body)

    assert told == [first, last]
    for error, words in zip(wrong, ("cannot be understood", "has version 2", "extension type 5"), strict=True):
        assert words in str(error)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01", b"no"])
def test_no_journal(body):
    """What is no message of the journal is one thing that cannot be understood."""
    told, wrong = told_in(body)

    assert not told
    assert len(wrong) == 1


def test_an_event_of_an_earlier_version_is_a_journal_of_one():
    """A recorder finds in its queue what processes of an earlier version told: single events."""
    [one] = made(1)

    assert told_in(encode(one)) == ([one], [])
