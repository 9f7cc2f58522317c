"""Whose request it is that a coordinator has sent back to the end of the queue."""

import pytest
from pamqp.commands import Basic

from optimizer_coordinator.sending_back import RECEIVED, SENDER, origin_of

HUB = "hub"


def known(user, **headers):
    return Basic.Properties(user_id=user, headers=headers or None)


def test_as_it_came():
    """A request that was not sent back is its user's, and came now."""
    assert origin_of(known("alice"), HUB) == ("alice", None)
    assert origin_of(known(None), HUB) == (None, None)


def test_sent_back():
    """Of one that a coordinator has sent back, its headers say whose it is and when it came."""
    assert origin_of(known(HUB, **{SENDER: "alice", RECEIVED: "123"}), HUB) == ("alice", 123)
    assert origin_of(known(HUB, **{RECEIVED: "123"}), HUB) == (None, 123)


@pytest.mark.parametrize("user", ["mallory", None])
def test_headers_of_others_are_not_believed(user):
    """Nobody but a coordinator can say in headers that a request is another's, or older."""
    assert origin_of(known(user, **{SENDER: "alice", RECEIVED: "123"}), HUB) == (user, None)


@pytest.mark.parametrize("received", ["", "x", "-1", "1e3", "9" * 5000, 5, b"5", None])
def test_nonsense(received):
    """A time that is none leaves the message as it came."""
    assert origin_of(known(HUB, **{SENDER: "alice", RECEIVED: received}), HUB) == (HUB, None)
