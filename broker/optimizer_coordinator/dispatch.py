"""Publishing the call of a flight, and ending the flight if that is impossible."""

from collections.abc import Collection
from contextlib import suppress
from typing import Literal

from optimizer_coordinator.intake import Intake, Reception
from optimizer_coordinator.snapshot import Snapshot
from optimizer_coordinator.speaker import Speaker
from optimizer_service.crash_points import crash_point
from optimizer_service.outbox import publish_call
from optimizer_state.answer import Answer
from optimizer_state.flights import Flights
from optimizer_state.store import RedisAway
from optimizer_wire.broker_errors import Blocked, Refused, Unconfirmed, Unroutable
from optimizer_wire.channel import Channel
from optimizer_wire.errors import BackendUnavailable, DeadlineExceeded, OptimizerError, Overloaded
from optimizer_wire.messages import Call, Hop, Waiter
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, backend_topology

Dispatched = Literal["published", "ended", "lost"]


class Dispatcher:
    """Publishes calls with confirms, on a channel of their own; `served` are the backends whose queues must exist."""

    def __init__(
        self,
        calls: Channel,
        names: Names,
        reception: Reception,
        snapshot: Snapshot,
        flights: Flights,
        speaker: Speaker,
        session: Session,
        served: Collection[str],
    ) -> None:
        self._served = frozenset(served)
        self._calls = calls
        self._names = names
        self._reception = reception
        self._snapshot = snapshot
        self._flights = flights
        self._speaker = speaker
        self._session = session

    async def dispatch(self, intake: Intake, flight: int, number: int) -> Dispatched:
        """Publish the call of a request; if that is impossible, its flight has ended with the reason.

        "lost" means that the connection broke: the broker delivers the request again.
        """
        try:
            route = self._reception.route(intake, self._snapshot.view)
            # Before it is sent: those that are routed meanwhile are to know of it.
            self._snapshot.sent_to(route[0].backend)
            await self._publish(intake, route, flight, number)
            crash_point("coordinator.after_publish")
        except Blocked as error:
            await self._too_late(intake, flight, error)
            return "ended"
        except Unconfirmed:
            self._session.lost.set()
            return "lost"
        except OptimizerError as error:
            await self._end(intake, flight, number, error)
            return "ended"
        return "published"

    async def _publish(self, intake: Intake, route: tuple[Hop, ...], flight: int, number: int) -> None:
        """Publish to the first backend of the route that takes the call."""
        full = False
        for hop in range(len(route)):
            call = self._reception.call(intake, route[hop:], flight, number)
            try:
                await self._publish_or_declare(call)
            except Unroutable:
                continue
            except Refused:
                full = True
                continue
            return
        names = ", ".join(hop.backend for hop in route)
        if full:
            raise Overloaded(f"The queues of {names} are full.", retry_after_s=5)
        raise BackendUnavailable(f"No worker of {names} has ever been started; start one with: optimizer worker")

    async def _publish_or_declare(self, call: Call) -> None:
        """Publish a call; a queue of ours that somebody deleted is declared again first."""
        # While RabbitMQ has an alarm it may still come in time.
        blocked_s = max(0, call.waiter.deadline_ms - self._snapshot.view.now_ms) / 1000
        try:
            await publish_call(self._calls, self._names, call, blocked_s=blocked_s)
        except Unroutable:
            if (backend := call.route[0].backend) not in self._served:
                raise
            await self._session.declare(backend_topology(self._names, [backend]))
            await publish_call(self._calls, self._names, call, blocked_s=blocked_s)

    async def _too_late(self, intake: Intake, flight: int, error: Blocked) -> None:
        """Its time is over, and RabbitMQ has not read its call: it may, later, for others in the flight."""
        late = DeadlineExceeded(f"{error} Nothing was called.")
        if flight:
            with suppress(RedisAway):
                await self._flights.leave(intake.admission.fingerprint, intake.waiter)
        await self._speaker.failed(intake, late, (intake.waiter,))

    async def _end(self, intake: Intake, flight: int, number: int, error: OptimizerError) -> None:
        waiters: tuple[Waiter, ...] = (intake.waiter,)
        work_id: str | None = None
        if flight:
            call = self._reception.call(intake, (), flight, number)
            answer = Answer(ok=False, leader=intake.request.id, stored_ms=0, task=intake.task, error=error.info)
            try:
                ended = await self._flights.complete(call, "", answer, store_ttl_ms=0)
            except RedisAway:
                pass
            else:
                # Somebody runs it after all: then that one answers.
                waiters = ended.waiters
                work_id = call.work_id if ended.mine else None
        await self._speaker.failed(intake, error, waiters, work_id)
