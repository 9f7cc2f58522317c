"""What Redis says of a flight: to whoever stands at the gate, wants to run its call, ends it, or asks how it stands."""

from typing import Literal

import msgspec

from optimizer_state.answer import Answer
from optimizer_wire.messages import Waiter

GateVerdict = Literal["wait", "enter", "entered", "published", "cancelled", "expired"]
FateVerdict = Literal["done", "gone", "running", "waiting", "gated", "none"]


class Begun(msgspec.Struct, frozen=True):
    """What became of the wish to run a dispatch.

    `run`; `answered` with the outcome and those to tell; `hit`: the cache has it; `busy`: another `owner` has a lease
    for `busy_ms`; `nobody` waits any more; `moved`: another dispatch or flight has taken over; `redispatch`: publish
    the next dispatch, its worker died before it could; `suspect`: it has killed so many workers that it may only run
    alone; `poison`: it has killed `deaths` workers and is to be ended.
    """

    verdict: Literal["run", "answered", "hit", "busy", "nobody", "moved", "redispatch", "suspect", "poison"]
    answer: Answer | None = None
    waiters: tuple[Waiter, ...] = ()
    busy_ms: int = 0
    owner: str = ""
    number: int = 0
    deaths: int = 0


class Completed(msgspec.Struct, frozen=True):
    """Whether this owner ended the flight, and whom to tell; without waiters, another owner has the flight."""

    mine: bool
    waiters: tuple[Waiter, ...] = ()


class Fate(msgspec.Struct, frozen=True):
    """How it stands with a request: its flight is `done` with an answer, its call is `running`, `waiting` or still
    `gated` by a quota or its turn, or it is `gone`: it was cancelled, or its deadline passed (`why`). `none`: Redis
    does not know it.
    """

    verdict: FateVerdict
    answer: Answer | None = None
    why: str = ""
