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

from msgspec.structs import replace

from optimizer_coordinator.intake import Intake
from optimizer_coordinator.line import Barrier, Lines, Waiting
from optimizer_coordinator.look import HOLD_S, Look
from optimizer_coordinator.metrics import GATE_WAITING
from optimizer_coordinator.speaker import Speaker
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.cancellation import set_within
from optimizer_wire.errors import OptimizerError, Overloaded

MOST_WAITING = 1_000
LOOK_S = 0.05


class GateClosed(Exception):
    """This session ends: what waits here is delivered again."""


class Gate:
    """Holds requests until every barrier that concerns them has let them pass."""

    def __init__(
        self, barriers: Sequence[Barrier], store: Store, flights: Flights, speaker: Speaker, hold_s: float = HOLD_S
    ) -> None:
        self._barriers = tuple(barriers)
        self._store = store
        self._flights = flights
        self._lines = Lines()
        self._look = Look(self._lines, store, flights, speaker, hold_s)
        self._came = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
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
        :raises HeldTooLong: its message is to go back to the end of its queue.
        """
        barriers = tuple(barrier for barrier in self._barriers if barrier.concerns(intake))
        if not barriers:
            return await self._walk_in(intake, flight)
        if self._closed:
            raise GateClosed
        if self._lines.holds(intake):
            # The same request once more: the copy that came first keeps its place.
            return False
        undecided = asyncio.get_running_loop().create_future()
        waiting = Waiting(intake, flight, barriers, undecided, self._store.clock.now_ms())
        self._lines.add(waiting)
        if len(self._lines) > MOST_WAITING and (last := self._lines.last_of_the_longest()):
            # Whoever asks for least is not to suffer for the one who asks for most.
            last.fail(Overloaded(f"{MOST_WAITING:,} requests wait for their quota or their turn.", retry_after_s=1))
        self._came.set()
        self._polling = self._polling or asyncio.ensure_future(self._poll())
        GATE_WAITING.set(len(self._lines))
        try:
            decision = await waiting.decision
        except OptimizerError:
            await self.leave(intake, barriers[: waiting.at + 1])
            raise
        else:
            if decision == "published":
                await self.leave(intake, barriers[: waiting.at + 1])
            return decision == "publish"
        finally:
            self._lines.remove(waiting)
            GATE_WAITING.set(len(self._lines))

    async def leave(self, intake: Intake, passed: Sequence[Barrier] | None = None) -> None:
        """A request goes no further: take back what it holds for having passed these barriers (all that concern it)."""
        for barrier in self._barriers if passed is None else passed:
            if barrier.concerns(intake):
                await barrier.leave(intake)

    async def _walk_in(self, intake: Intake, flight: int) -> bool:
        """Nothing concerns this request itself, but the leader of the flight that it joined waits here."""
        try:
            answers = await self._store.run([self._flights.gate_step(intake.admission, flight, enter=True)])
        except RedisAway:
            return True
        return Flights.gate_verdict(answers[0]) != "published"

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
                if not await self._look.look(self._store.clock.now_ms()):
                    await set_within(self._came, LOOK_S)
        except BrokerUnavailable as error:
            for waiting in self._lines:
                waiting.fail(BrokerUnavailable(str(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told to those who wait
            for waiting in self._lines:
                failed = RuntimeError("the look at those who wait failed")
                failed.__cause__ = error
                waiting.fail(failed)
        finally:
            self._polling = None
