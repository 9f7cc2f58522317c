"""Who waits at the gate, for what, and whose turn it is to ask. Pure: times are passed in.

Requests of one line (one agent, say) ask one after another in the order of their arrival, and the lines take turns:
whoever was let through longest ago comes first. So a long line cannot keep a short one waiting.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, Protocol

from optimizer_coordinator.intake import Intake
from optimizer_state.scripts import Step

# How many of a line ask at once. They ask for the same, so that whoever is behind one that must wait must wait too.
ABREAST = 16
SHORTEST_MS, LONGEST_MS = 50, 1_000

# Publish the call; or somebody else did, or another copy of the same request.
Decision = Literal["publish", "published", "copied"]


@dataclass(frozen=True, slots=True)
class Held:
    """Not yet: there is no sense in asking again for `ms`; `reason` says what it waits for: "for the quota of …".

    `sure`: it cannot come sooner. `event` is the kind of event that tells of it, if any.
    """

    ms: int
    reason: str
    sure: bool = False
    event: str | None = None


class Barrier(Protocol):
    """Something that a request may have to wait for before its call is published.

    The gate asks in one round trip for all who wait: `steps` must be safe to repeat, and `heard` judges their replies.
    """

    def concerns(self, intake: Intake) -> bool:
        """Whether a request has to ask here at all."""

    def line(self, intake: Intake) -> str | None:
        """Requests of one line ask in the order of their arrival; with None each asks for itself."""

    def steps(self, intake: Intake) -> Sequence[Step]:
        """What to ask Redis; at least one step."""

    async def heard(self, intake: Intake, replies: Sequence[list[Any]]) -> Held | None:
        """None: it may pass.

        :raises OptimizerError: it never will.
        """

    def alone(self, intake: Intake) -> Held | None:
        """The same without Redis.

        :raises OptimizerError: it never will.
        """

    async def leave(self, intake: Intake) -> None:
        """The request goes no further, though it may have passed here: take back what it holds."""


@dataclass(eq=False)
class Waiting:
    """One request at the gate, since `since_ms`. `at` is the barrier that it stands before; at last there is none."""

    intake: Intake
    flight: int
    barriers: Sequence[Barrier]
    decision: "asyncio.Future[Decision]"
    since_ms: int = 0
    at: int = 0
    told: bool = False

    @property
    def barrier(self) -> Barrier:
        """What it stands before."""
        return self.barriers[self.at]

    def let_go(self, decision: Decision) -> None:
        """It waits no more."""
        if not self.decision.done():
            self.decision.set_result(decision)

    def fail(self, error: Exception) -> None:
        """It waits no more, and is not served."""
        if not self.decision.done():
            self.decision.set_exception(error)


@dataclass(slots=True)
class _Line:
    members: dict[Waiting, None] = field(default_factory=dict)
    asks_at_ms: int = 0
    served: int = 0
    reason: str = "at the gate"


class Lines:
    """All who wait, in the lines that they stand in."""

    def __init__(self) -> None:
        self._waiting: dict[object, Waiting] = {}
        self._lines: dict[object, _Line] = {}
        self._served = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(tuple(self._waiting.values()))

    def holds(self, intake: Intake) -> bool:
        """Whether this very request waits already."""
        return _name(intake) in self._waiting

    def add(self, waiting: Waiting) -> None:
        """A request begins to wait."""
        self._waiting[_name(waiting.intake)] = waiting
        self._stand(waiting)

    def last_of_the_longest(self) -> Waiting | None:
        """Who stands at the end of the longest line."""
        # Of lines that are equally long the newest: where each has a line of its own, the first came first.
        newest_first = reversed(self._lines.values())
        longest = max(newest_first, key=lambda line: len(line.members), default=None)
        behind = reversed(longest.members) if longest else ()
        return next((waiting for waiting in behind if not waiting.decision.done()), None)

    def remove(self, waiting: Waiting) -> None:
        """A request waits no more."""
        self._waiting.pop(_name(waiting.intake), None)
        if waiting.at < len(waiting.barriers):
            self._step_out(waiting)

    def due(self, now_ms: int) -> list[Waiting]:
        """Who is to ask now, in this order."""
        ranked: list[tuple[int, int, Waiting]] = []
        for line in self._lines.values():
            if line.asks_at_ms <= now_ms:
                ranked += [(rank, line.served, one) for rank, one in enumerate(islice(_askers(line), ABREAST))]
        return [waiting for *_, waiting in sorted(ranked, key=lambda each: each[:2])]

    def hold(self, waiting: Waiting, held: Held, now_ms: int) -> None:
        """A request was told to wait, and all behind it with it."""
        line = self._line(waiting)
        line.asks_at_ms = now_ms + max(SHORTEST_MS, min(held.ms, LONGEST_MS))
        line.reason = held.reason

    def on_hold(self, waiting: Waiting, now_ms: int) -> bool:
        """Whether a request was told to wait, and will not ask again yet."""
        return self._line(waiting).asks_at_ms > now_ms

    def advance(self, waiting: Waiting) -> bool:
        """A request passed what it stands before; True if that was the last."""
        line = self._line(waiting)
        self._served += 1
        line.served = self._served
        self._step_out(waiting)
        waiting.at += 1
        if waiting.at < len(waiting.barriers):
            self._stand(waiting)
            return False
        return True

    def reason(self, waiting: Waiting) -> str:
        """What a request waits for, in words."""
        return self._line(waiting).reason

    def _line(self, waiting: Waiting) -> _Line:
        """The line that a request stands in; one of its own if it stands in none."""
        at_a_barrier = waiting.at < len(waiting.barriers)
        return (self._lines.get(_line_name(waiting)) if at_a_barrier else None) or _Line()

    def _stand(self, waiting: Waiting) -> None:
        self._lines.setdefault(_line_name(waiting), _Line(served=self._served)).members[waiting] = None

    def _step_out(self, waiting: Waiting) -> None:
        name = _line_name(waiting)
        if line := self._lines.get(name):
            line.members.pop(waiting, None)
            if not line.members:
                del self._lines[name]


def _askers(line: _Line) -> Iterator[Waiting]:
    """The undecided of a line, in order; one of each flight, for what it gets is all others' too."""
    seen: set[tuple[str, int]] = set()
    for waiting in line.members:
        flight = waiting.intake.admission.fingerprint, waiting.flight
        if not waiting.decision.done() and not (waiting.flight and flight in seen):
            seen.add(flight)
            yield waiting


def _name(intake: Intake) -> object:
    return intake.admission.fingerprint, intake.waiter.id, intake.waiter.reply_to


def _line_name(waiting: Waiting) -> object:
    line = waiting.barrier.line(waiting.intake)
    return waiting.at, id(waiting.barrier), waiting if line is None else line
