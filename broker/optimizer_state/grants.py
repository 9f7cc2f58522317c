"""What is asked of a budget and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from optimizer_config.amounts import Amounts, Remaining

Health = Literal["well", "ill", "unknown"]
BreakerState = Literal["closed", "open", "half_open"]


class Ask(msgspec.Struct, frozen=True):
    """The wish to make one call: a name for the reservation, the model, and an estimate of what it takes."""

    reservation: str
    model: str = ""
    amounts: Amounts = Amounts()


class Grant(msgspec.Struct, frozen=True):
    """A reservation that was granted.

    `probe` says that it is the one call which goes first: after the `breaker` was open (this is its transition to
    half-open), or after a `block`. All others wait until it is settled.
    """

    reservation: str
    model: str = ""
    amounts: Amounts = Amounts()
    probe: Literal["", "breaker", "block"] = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """No budget for now: look again after `ms`.

    `limit` is the name of the limit that is used up, or a word: `blocked`, `breaker`, `paused`, `concurrency`,
    `restored` (Redis lost its memory and is being told), `own share` (Redis is away). `frees` is, for a limit, in how
    many ms how much of it leaves its window, soonest first.
    """

    ms: int
    limit: str
    frees: tuple[tuple[int, int], ...] = ()


class Settled(msgspec.Struct, frozen=True):
    """How a call ended.

    Its request was written `written_ago_ms` ago, or (None) never: then all is given back. `used` is its real usage,
    None keeps the estimate. `health` is `well` if the backend answered at all (429 too), `ill` if this counts for the
    circuit breaker, `unknown` if it says nothing. `remaining` is what the response's headers say.
    """

    written_ago_ms: float | None
    used: Amounts | None = None
    health: Health = "unknown"
    remaining: Sequence[Remaining] = ()


class BreakerChange(msgspec.Struct, frozen=True):
    """A settled call changed the state of the circuit breaker; `for_ms` is how long it stays open."""

    state: BreakerState
    failures: int = 0
    for_ms: int = 0
