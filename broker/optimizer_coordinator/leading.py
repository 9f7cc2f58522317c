"""The way of a request that leads: through the gate to a backend, or told early that it must miss its deadline."""

from contextlib import suppress

from optimizer_coordinator.dispatch import Dispatcher
from optimizer_coordinator.gate import Gate, GateClosed
from optimizer_coordinator.intake import Intake, Reception
from optimizer_coordinator.metrics import handled
from optimizer_coordinator.snapshot import Snapshot
from optimizer_coordinator.speaker import Speaker
from optimizer_state.admission import Join, Lead
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_wire import events
from optimizer_wire.errors import OptimizerError, QuotaExceeded


class Leading:
    """Takes requests on this way; every method raises `BrokerUnavailable` if the connection is gone."""

    def __init__(
        self,
        reception: Reception,
        snapshot: Snapshot,
        gate: Gate,
        dispatcher: Dispatcher,
        flights: Flights,
        speaker: Speaker,
    ) -> None:
        self._reception = reception
        self._snapshot = snapshot
        self._gate = gate
        self._dispatcher = dispatcher
        self._flights = flights
        self._speaker = speaker

    async def lead(self, intake: Intake, decision: Lead | Join) -> bool:
        """Publish the call of a flight; True if the request is handled, whatever its end.

        False leaves it to its next delivery.
        """
        number = decision.number if isinstance(decision, Join) else 1
        # The call of a flight that was joined may be in line at a backend already.
        if isinstance(decision, Lead) and (late := self._reception.must_miss(intake, self._snapshot.view)):
            others = await self._turn_away(intake, decision.flight, late)
            # Whoever joins one that stands at the gate goes there too.
            if not others or intake.admission.gated:
                await self._gate.leave(intake)
                return True
        gated = decision.gated if isinstance(decision, Join) else intake.admission.gated
        if not gated:
            return await self._dispatcher.dispatch(intake, decision.flight, number) != "lost"
        try:
            if not await self._gate.enter(intake, decision.flight):
                return True
        except GateClosed:
            return False
        except OptimizerError as error:
            if isinstance(error, QuotaExceeded):
                await self._speaker.held(events.QUOTA, intake, "refused", error.message, error.retry_after_s)
            await self._turn_away(intake, decision.flight, error)
            return True
        done = await self._dispatcher.dispatch(intake, decision.flight, number)
        if done == "ended":
            await self._gate.leave(intake)
        return done != "lost"

    async def _turn_away(self, intake: Intake, flight: int, error: OptimizerError) -> int:
        """Tell a request that it is not called, and take it out of its flight; returns how many wait there."""
        handled["turned_away"].inc()
        others = 0
        if flight:
            with suppress(RedisAway):
                others = await self._flights.leave(intake.admission.fingerprint, intake.waiter)
        await self._speaker.failed(intake, error, (intake.waiter,))
        return others
