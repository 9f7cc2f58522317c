"""Turns at the gate: requests with the same ordering key run one after another.

::

    lead ─► take ─┬─ go ──────────► (the turn is its own until the worker ends the call) publish the call
                  ├─ wait ────────► take again, sooner the fewer are before it
                  └─ superseded ──► reply Cancelled, leave the flight

A request that needs no call (a hit, a joined one, a cancelled one) passes by, so that nobody waits for it.

While Redis is away nobody can say whose turn it is. For a few seconds everybody waits for it to come back: a restart
breaks no order. Then each coordinator publishes the calls of a key in the order in which their requests came: they are
answered, but may run at the same time.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from optimizer_coordinator.intake import Intake
from optimizer_coordinator.line import Held
from optimizer_coordinator.speaker import Speaker
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights
from optimizer_state.scripts import Step
from optimizer_state.store import RedisAway
from optimizer_state.turns import Older, Superseded, Turn, Turns, Waits, taken
from optimizer_wire.errors import Cancelled
from optimizer_wire.messages import Waiter

# Each that is before a request takes at least about one look of the gate.
STEP_MS, LONGEST_MS = 50, 500
# How long Redis is waited for; a request that has less time than that is let through earlier.
AWAY_MS = 5_000
NEEDED_MS = 2_000
REASON = "for its turn among the requests of its ordering key"


class TurnBarrier:
    """Lets a request pass when its turn has come."""

    def __init__(self, turns: Turns, flights: Flights, speaker: Speaker, clock: FleetClock) -> None:
        self._turns = turns
        self._clock = clock
        self._flights = flights
        self._speaker = speaker
        self._told: dict[Waiter, Waits] = {}
        self._away_since_ms: int | None = None

    # ── at the gate ──────────────────────────────────────────────────────────────────────────────────────────────

    def concerns(self, intake: Intake) -> bool:
        """Whether a request has an ordering key."""
        return bool(intake.request.ordering_key)

    def line(self, intake: Intake) -> str | None:  # noqa: ARG002 - of the barrier's protocol
        """Each asks for itself: the order is in Redis, and one may be superseded wherever it stands."""
        return None

    def steps(self, intake: Intake) -> Sequence[Step]:
        """Ask for its turn."""
        told = self._told.get(intake.waiter)
        return (self._turns.take(_turn_of(intake), told.place if told else 0),)

    async def heard(self, intake: Intake, replies: Sequence[list[Any]]) -> Held | None:
        """Pass, wait, or be superseded.

        :raises Cancelled: a newer request took its place.
        """
        self._away_since_ms = None
        verdict = taken(replies[0])
        if isinstance(verdict, Superseded):
            raise _superseded(intake)
        if not isinstance(verdict, Waits):
            self._told.pop(intake.waiter, None)
            return None
        await self._note(intake, verdict)
        return Held(min(STEP_MS * max(1, verdict.before), LONGEST_MS), REASON)

    def alone(self, intake: Intake) -> Held | None:
        """Without Redis: wait for it, then pass in the order of arrival."""
        now_ms = self._clock.now_ms()
        if self._away_since_ms is None:
            self._away_since_ms = now_ms
        until_ms = min(self._away_since_ms + AWAY_MS, intake.waiter.deadline_ms - NEEDED_MS)
        if now_ms < until_ms:
            return Held(STEP_MS, REASON)
        self._told.pop(intake.waiter, None)
        return None

    async def leave(self, intake: Intake) -> None:
        """It goes no further: the next one may."""
        self._told.pop(intake.waiter, None)
        await self._leave(intake, only_waiting=False)

    # ── beside the gate ──────────────────────────────────────────────────────────────────────────────────────────

    async def pass_by(self, intake: Intake) -> None:
        """A request that was decided without a call of its own: what comes after it need not wait for it.

        An earlier copy of it may have the turn, and keeps it.
        """
        await self._leave(intake, only_waiting=True)

    async def cancelled(self, intake: Intake) -> None:
        """A request is no longer wanted: it stops waiting. A call of it that has begun keeps the turn until its end.

        To be called before the request is taken out of its flight.
        """
        if not intake.request.ordering_key:
            return
        others: int | None = None
        with suppress(RedisAway):
            others = await self._flights.withdraw(intake.admission.fingerprint, intake.waiter)
        await self._leave(intake, only_waiting=others is None or others > 0)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _leave(self, intake: Intake, *, only_waiting: bool) -> None:
        request = intake.request
        if request.ordering_key:
            await self._turns.leave(request.ordering_key, intake.waiter, after=request.after, only_waiting=only_waiting)

    async def _note(self, intake: Intake, waits: Waits) -> None:
        before = self._told.get(intake.waiter)
        self._told[intake.waiter] = waits
        # Tried once for each that has the turn: afterwards its call has begun, or others want it.
        if waits.older is not None and (before is None or before.older != waits.older):
            await self._withdraw(intake, waits.older)

    async def _withdraw(self, intake: Intake, older: Older) -> None:
        """Cancel the older one that has the turn, unless its call has begun."""
        try:
            others = await self._flights.withdraw(older.fingerprint, older.waiter)
        except RedisAway:
            # To be tried again at the next look.
            self._told[intake.waiter] = replace(self._told[intake.waiter], older=None)
            return
        if others is None:
            return
        if others == 0:
            await self._turns.leave(_turn_of(intake).key, older.waiter)
        await self._speaker.withdrawn(older.waiter, _superseded(intake))


def _turn_of(intake: Intake) -> Turn:
    request = intake.request
    return Turn(
        request.ordering_key or "",
        intake.waiter,
        intake.admission.fingerprint,
        request.after,
        supersede=request.supersede,
    )


def _superseded(intake: Intake) -> Cancelled:
    return Cancelled(f"A newer request of the ordering key {intake.request.ordering_key!r} took its place.")
