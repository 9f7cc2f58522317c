"""Where a request waits between the decision to lead and its call: for its turn, and for its agent's quota.

::

    lead ─► enter ─┬─ nothing to wait for ─────────────────┬─► publish the call
                   ├─ barrier ─► barrier ─► still wanted? ─┘
                   ├─ somebody else published it ─► (it waits in the flight) ack
                   └─ refused, cancelled, too late ─► reply error, leave the flight, ack

A waiting request stays unacked, so that another coordinator gets it if this one dies. One poller asks Redis for all of
them in one round trip; it runs only while somebody waits.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any

from optimizer_coordinator.intake import Intake
from optimizer_coordinator.line import Barrier, Lines, Waiting
from optimizer_coordinator.metrics import GATE_WAITING
from optimizer_coordinator.speaker import Speaker
from optimizer_state.clock import FleetClock
from optimizer_state.flights import Flights, GateVerdict
from optimizer_state.store import RedisAway, Step, Store
from optimizer_wire.errors import Cancelled, DeadlineExceeded, OptimizerError, Overloaded

MOST_WAITING = 1_000
LOOK_S = 0.05
# How often everybody is looked after: whether it is still wanted, and has time left.
WATCH_MS = 500


class GateClosed(Exception):
    """This session ends: what waits here is delivered again."""


class Gate:
    """Holds requests until every barrier that concerns them has let them pass."""

    def __init__(self, barriers: Sequence[Barrier], store: Store, flights: Flights, speaker: Speaker) -> None:
        self._barriers = tuple(barriers)
        self._store = store
        self._clock: FleetClock = store.clock
        self._flights = flights
        self._speaker = speaker
        self._lines = Lines()
        self._came = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._watched_ms = 0
        self._closed = False

    def mark(self, intake: Intake) -> Intake:
        """The request, marked if it must pass the gate to lead."""
        if not any(barrier.concerns(intake) for barrier in self._barriers):
            return intake
        return replace(intake, admission=replace(intake.admission, gated=True))

    async def enter(self, intake: Intake, flight: int) -> bool:
        """Wait until the call of a request may be published; False: somebody else has published it.

        :raises QuotaExceeded, Cancelled, DeadlineExceeded, Overloaded: never; what the request held is given back.
        :raises GateClosed: the session ends first.
        """
        barriers = tuple(barrier for barrier in self._barriers if barrier.concerns(intake))
        if not barriers:
            return await self._walk_in(intake, flight)
        if self._closed:
            raise GateClosed
        if self._lines.holds(intake):
            # The same request once more: the copy that came first keeps its place.
            return False
        if len(self._lines) >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING:,} requests wait for their quota or their turn.", retry_after_s=1)
        waiting = Waiting(intake, flight, barriers, asyncio.get_running_loop().create_future())
        self._lines.add(waiting)
        self._came.set()
        self._polling = self._polling or asyncio.ensure_future(self._poll())
        GATE_WAITING.set(len(self._lines))
        try:
            decision = await waiting.decision
        except OptimizerError:
            await self.leave(intake, flight, barriers[: waiting.at + 1])
            raise
        else:
            if decision == "published":
                await self.leave(intake, flight, barriers[: waiting.at + 1])
            return decision == "publish"
        finally:
            self._lines.remove(waiting)
            GATE_WAITING.set(len(self._lines))

    async def leave(self, intake: Intake, flight: int, passed: Sequence[Barrier] | None = None) -> None:
        """A request goes no further: take back what it holds for having passed these barriers (all that concern it)."""
        for barrier in self._barriers if passed is None else passed:
            if barrier.concerns(intake):
                await barrier.leave(intake, flight)

    async def _walk_in(self, intake: Intake, flight: int) -> bool:
        """Nothing concerns this request itself, but the leader of the flight that it joined waits here."""
        answers = await self._ask([self._flights.gate_step(intake.admission, flight, enter=True)])
        return not answers or Flights.gate_verdict(answers[0]) != "published"

    def close(self) -> None:
        """Let go of all who wait, undecided."""
        self._closed = True
        for waiting in self._lines:
            waiting.fail(GateClosed())

    async def _poll(self) -> None:
        """Look again and again, while somebody waits."""
        try:
            while self._lines:
                self._came.clear()
                if not await self._look(self._clock.now_ms()):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._came.wait(), LOOK_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to those who wait
            for waiting in self._lines:
                waiting.fail(error)
        finally:
            self._polling = None

    async def _look(self, now_ms: int) -> bool:
        """Ask for everybody who is due; True if somebody got on, so that there may be more to ask."""
        asking, watching = self._lines.due(now_ms), self._to_watch(now_ms)
        asked = [one.barrier.steps(one.intake, one.flight) for one in asking]
        watches = [self._flights.gate_step(one.intake.admission, one.flight, enter=False) for one in watching]
        answers = await self._ask([*chain.from_iterable(asked), *watches])
        answer = iter(answers or ())
        replies = [[next(answer) for _ in steps] if answers else None for steps in asked]
        for one, verdict in zip(watching, answer, strict=False):
            self._judge(one, Flights.gate_verdict(verdict))
        through = [one for one, said in zip(asking, replies, strict=True) if await self._heard(one, said, now_ms)]
        await self._let_through(through)
        return bool(through)

    async def _ask(self, steps: Sequence[Step]) -> list[list[Any]] | None:
        """The answers of Redis, or None if it is away."""
        try:
            return await self._store.run(steps) if steps else []
        except RedisAway:
            return None

    def _to_watch(self, now_ms: int) -> list[Waiting]:
        if now_ms - self._watched_ms < WATCH_MS:
            return []
        self._watched_ms = now_ms
        for waiting in self._lines:
            # Nobody looks again before its deadline.
            if waiting.intake.waiter.deadline_ms <= now_ms + WATCH_MS:
                waiting.fail(self._too_late(waiting, now_ms))
        return [waiting for waiting in self._lines if waiting.flight and not waiting.decision.done()]

    async def _heard(self, waiting: Waiting, said: Sequence[list[Any]] | None, now_ms: int) -> bool:
        """What a barrier says to one request; True if it got on."""
        if waiting.decision.done():
            return False
        intake, barrier = waiting.intake, waiting.barrier
        try:
            held = barrier.alone(intake) if said is None else await barrier.heard(intake, waiting.flight, said)
        except OptimizerError as error:
            waiting.fail(error)
            return False
        if held is None:
            return True
        self._lines.hold(waiting, held, now_ms)
        if held.sure and now_ms + held.ms > intake.waiter.deadline_ms:
            wait_s = held.ms / 1000
            late = f"It would have to wait {wait_s:.1f} s {held.reason}, longer than it has time."
            waiting.fail(DeadlineExceeded(late, retry_after_s=wait_s))
        elif held.event and not waiting.told:
            waiting.told = True
            await self._speaker.held(held.event, intake, "waiting", f"It waits {held.reason}.", held.ms / 1000)
        return False

    async def _let_through(self, through: Sequence[Waiting]) -> None:
        """Move requests on to their next barrier, or out of the gate if they are still wanted."""
        left = [one for one in through if not one.decision.done()]
        out = [one for one in left if self._lines.advance(one)]
        flying = [one for one in out if one.flight]
        steps = [self._flights.gate_step(one.intake.admission, one.flight, enter=True) for one in flying]
        for one, verdict in zip(flying, await self._ask(steps) or (), strict=False):
            self._judge(one, Flights.gate_verdict(verdict))
        for one in out:
            # Without a flight, or without Redis.
            one.let_go("publish")

    @staticmethod
    def _judge(waiting: Waiting, verdict: GateVerdict) -> None:
        """What has become of a flight meanwhile."""
        match verdict:
            case "enter":
                waiting.let_go("publish")
            case "entered":
                waiting.let_go("copied")
            case "published" if all(barrier.shared for barrier in waiting.barriers):
                waiting.let_go("published")
            case "published" if waiting.at == len(waiting.barriers):
                # Its own copy of the call gives back what it holds.
                waiting.let_go("publish")
            case "cancelled":
                waiting.fail(Cancelled("The request was cancelled while it waited."))
            case "expired":
                waiting.fail(DeadlineExceeded("The deadline passed while it waited."))

    def _too_late(self, waiting: Waiting, now_ms: int) -> DeadlineExceeded:
        waited_s = max(0, now_ms - waiting.intake.waiter.since_ms) / 1000
        return DeadlineExceeded(f"It waited {waited_s:.1f} s {self._lines.reason(waiting)}.")
