"""A request on its way in, and what may become of it: an answer, a place in a flight, or a flight of its own. Pure."""

from typing import Any

import msgspec

from optimizer_state.answer import Answer, unpacked
from optimizer_wire.messages import Waiter


class Admission(msgspec.Struct, frozen=True):
    """A request on its way in. `may_read`: whether a stored answer will do; `gated`: it must pass the gate to lead."""

    fingerprint: str
    waiter: Waiter
    may_read: bool
    gated: bool = False


class Hit(msgspec.Struct, frozen=True):
    """A stored answer."""

    answer: Answer


class Known(msgspec.Struct, frozen=True):
    """The answer of the flight that this very request was in."""

    answer: Answer


class Gone(msgspec.Struct, frozen=True):
    """The request was cancelled or its deadline passed: a late copy of it is to be dropped."""

    why: str


class Join(msgspec.Struct, frozen=True):
    """The request waits in a flight; with `publish_again` its call may have been lost, or must become more urgent.

    `known`: it waited there before, so that this is the same request once more. `gated`: whoever leads still waits at
    the gate, so that this one may go itself.
    """

    flight: int
    number: int
    publish_again: bool
    known: bool = False
    gated: bool = False


class Lead(msgspec.Struct, frozen=True):
    """The request opened a flight; its call is to be published."""

    flight: int


Admitted = Hit | Known | Gone | Join | Lead


def admitted(reply: list[Any]) -> Admitted:
    """What `admit.lua` answered."""
    match reply[0]:
        case b"hit":
            return Hit(unpacked(reply[1]))
        case b"known":
            return Known(unpacked(reply[2]))
        case b"gone":
            return Gone(reply[1].decode())
        case b"join":
            return Join(int(reply[1]), int(reply[2]), reply[3] == 1, reply[4] == 1, reply[5] == 1)
        case _:
            return Lead(int(reply[1]))
