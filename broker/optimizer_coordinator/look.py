"""One look at all who wait at the gate: some ask, all in one round trip, and get on, or have to go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from optimizer_coordinator.line import Lines, Waiting
from optimizer_coordinator.speaker import Speaker
from optimizer_state.flights import Flights
from optimizer_state.scripts import Step
from optimizer_state.store import RedisAway, Store
from optimizer_state.verdicts import GateVerdict
from optimizer_wire.errors import Cancelled, DeadlineExceeded, OptimizerError

# How often everybody is looked after: whether it is still wanted, and has time left.
WATCH_MS = 500
# RabbitMQ ends the channel of a consumer that holds a message for 30 minutes.
HOLD_S = 900.0


class HeldTooLong(Exception):
    """A request has waited for so long that RabbitMQ must have its message back."""


@dataclass(slots=True)
class _Outcome:
    """What barriers said in one look."""

    passed: list[Waiting] = field(default_factory=list)
    refused: list[tuple[Waiting, OptimizerError]] = field(default_factory=list)


class Look:
    """Looks at the lines of one gate."""

    def __init__(self, lines: Lines, store: Store, flights: Flights, speaker: Speaker, hold_s: float = HOLD_S) -> None:
        self._lines = lines
        self._hold_ms = round(hold_s * 1000)
        self._store = store
        self._flights = flights
        self._speaker = speaker
        self._watched_ms = 0

    async def look(self, now_ms: int) -> bool:
        """Ask for everybody who is due; True if that changed something, so that there may be more to ask."""
        asking, watching = self._lines.due(now_ms), self._to_watch(now_ms)
        asked = [one.barrier.steps(one.intake) for one in asking]
        answers = await self._ask([*chain.from_iterable(asked), *self._gate_steps(watching, enter=False)])
        answer = iter(answers or ())
        replies = [[next(answer) for _ in steps] if answers else None for steps in asked]
        for one, verdict in zip(watching, answer, strict=False):
            _judge(one, Flights.gate_verdict(verdict))
        outcome = _Outcome()
        for one, said in zip(asking, replies, strict=True):
            if not one.decision.done():
                await self._hear(one, said, outcome, now_ms)
        await self._let_through(outcome.passed)
        await self._refuse(outcome.refused)
        return bool(outcome.passed or outcome.refused)

    async def _ask(self, steps: Sequence[Step]) -> list[list[Any]] | None:
        """The answers of Redis, or None if it is away."""
        try:
            return await self._store.run(steps) if steps else []
        except RedisAway:
            return None

    def _gate_steps(self, waiting: Sequence[Waiting], *, enter: bool) -> list[Step]:
        return [self._flights.gate_step(one.intake.admission, one.flight, enter=enter) for one in waiting]

    def _to_watch(self, now_ms: int) -> list[Waiting]:
        """Everybody who flies, now and then; who has no time left goes."""
        if now_ms - self._watched_ms < WATCH_MS:
            return []
        self._watched_ms = now_ms
        for one in self._lines:
            # Who has to wait is not looked at again before its deadline.
            left_ms = one.intake.waiter.deadline_ms - now_ms
            if left_ms <= (WATCH_MS if self._lines.on_hold(one, now_ms) else 0):
                waited_s = max(0, now_ms - one.intake.waiter.since_ms) / 1000
                one.fail(DeadlineExceeded(f"It waited {waited_s:.1f} s {self._lines.reason(one)}."))
            elif now_ms - one.since_ms > self._hold_ms:
                one.fail(HeldTooLong())
        return [one for one in self._lines if one.flight and not one.decision.done()]

    async def _hear(self, one: Waiting, said: Sequence[list[Any]] | None, outcome: _Outcome, now_ms: int) -> None:
        """What a barrier says to one request."""
        intake, barrier = one.intake, one.barrier
        try:
            held = barrier.alone(intake) if said is None else await barrier.heard(intake, said)
        except OptimizerError as error:
            outcome.refused.append((one, error))
            return
        if held is None:
            outcome.passed.append(one)
            return
        self._lines.hold(one, held, now_ms)
        if held.sure and now_ms + held.ms > intake.waiter.deadline_ms:
            wait_s = held.ms / 1000
            late = f"It would have to wait {wait_s:.1f} s {held.reason}, longer than it has time."
            outcome.refused.append((one, DeadlineExceeded(late, retry_after_s=wait_s)))
        elif held.event and not one.told:
            one.told = True
            await self._speaker.held(held.event, intake, "waiting", f"It waits {held.reason}.", held.ms / 1000)

    async def _let_through(self, passed: Sequence[Waiting]) -> None:
        """Move requests on to their next barrier, or out of the gate if they are still wanted."""
        left = [one for one in passed if not one.decision.done()]
        out = [one for one in left if self._lines.advance(one)]
        await self._look_after([one for one in out if one.flight], enter=True)
        for one in out:
            # Without a flight, or without Redis.
            one.let_go("publish")

    async def _look_after(self, waiting: Sequence[Waiting], *, enter: bool) -> None:
        """See what has become of the flights of these."""
        answers = await self._ask(self._gate_steps(waiting, enter=enter)) or ()
        for one, verdict in zip(waiting, answers, strict=False):
            _judge(one, Flights.gate_verdict(verdict))

    async def _refuse(self, refused: Sequence[tuple[Waiting, OptimizerError]]) -> None:
        """Send requests away, unless somebody else has just published the call of their flight: to join is free."""
        flying = [one for one, error in refused if one.flight and not isinstance(error, Cancelled)]
        await self._look_after(flying, enter=False)
        for one, error in refused:
            one.fail(error)


def _judge(waiting: Waiting, verdict: GateVerdict) -> None:
    """What has become of a flight meanwhile."""
    match verdict:
        case "enter":
            waiting.let_go("publish")
        case "entered":
            waiting.let_go("copied")
        case "published":
            waiting.let_go("published")
        case "cancelled":
            waiting.fail(Cancelled("The request was cancelled while it waited."))
        case "expired":
            waiting.fail(DeadlineExceeded("The deadline passed while it waited."))
