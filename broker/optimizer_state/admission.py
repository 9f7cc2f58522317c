"""A request on its way in, and what may become of it: an answer, a place in a flight, or a flight of its own. Pure."""

from dataclasses import dataclass
from typing import Any

from optimizer_state.answer import Answer, unpacked
from optimizer_wire.messages import Waiter


@dataclass(frozen=True, slots=True)
class Admission:
    """A request on its way in. `may_read`: whether a stored answer will do; `gated`: it must pass the gate to lead."""

    fingerprint: str
    waiter: Waiter
    may_read: bool
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A stored answer."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Known:
    """The answer of the flight that this very request was in."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Gone:
    """The request was cancelled or its deadline passed: a late copy of it is to be dropped."""

    why: str


@dataclass(frozen=True, slots=True)
class Join:
    """The request waits in a flight; with `publish_again` its call may have been lost, or must become more urgent.

    `known`: it waited there before, so that this is the same request once more. `gated`: whoever leads still waits at
    the gate, so that this one may go itself.
    """

    flight: int
    number: int
    publish_again: bool
    known: bool = False
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Lead:
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
