"""What follows from how a request was admitted: a reply, a place among those who wait, or a call of its own."""

from optimizer_coordinator.background import Background
from optimizer_coordinator.intake import Intake
from optimizer_coordinator.leading import Leading
from optimizer_coordinator.look import HeldTooLong
from optimizer_coordinator.metrics import handled
from optimizer_coordinator.settling import Settling
from optimizer_coordinator.speaker import Speaker
from optimizer_coordinator.traced import note_result, publishes
from optimizer_coordinator.turns import TurnBarrier
from optimizer_service.crash_points import crash_point
from optimizer_service.logs import Logger
from optimizer_state.admission import Admitted, Gone, Hit, Join, Known, Lead
from optimizer_state.store import RedisAway
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import Cancelled, DeadlineExceeded, OptimizerError
from optimizer_wire.session import Session


class Acting:
    """Acts on what was decided, on one session."""

    def __init__(
        self,
        session: Session,
        settling: Settling,
        leading: Leading,
        turns: TurnBarrier,
        speaker: Speaker,
        background: Background,
        log: Logger,
    ) -> None:
        self._session = session
        self._settling = settling
        self._leading = leading
        self._turns = turns
        self._speaker = speaker
        self._background = background
        self._log = log

    async def act(self, message: Delivery, intake: Intake, decision: Admitted) -> None:
        """See one request to its end, or begin to: a call is published in the background."""
        note_result(intake, decision)
        try:
            await self._act(message, intake, decision)
        except RedisAway:
            await self._settling.untold(message, intake)
        finally:
            if intake.step is not None and not publishes(decision):
                intake.step.end()

    async def _act(self, message: Delivery, intake: Intake, decision: Admitted) -> None:
        match decision:
            case Hit(answer):
                handled["hit"].inc()
                await self._speaker.hit(intake, answer)
                crash_point("coordinator.after_reply")
                self._pass_by(intake)
                await self._settling.ack(message)
            case Known(answer):
                handled["known"].inc()
                await self._speaker.answer(answer, (intake.waiter,))
                crash_point("coordinator.after_reply")
                self._pass_by(intake)
                await self._settling.ack(message)
            case Gone(why):
                handled["gone"].inc()
                # A late copy, whose sender drops this; or its sender asks anew under the old id, and waits.
                await self._speaker.failed(intake, _ended(why), (intake.waiter,))
                self._pass_by(intake)
                await self._settling.ack(message)
            case Join():
                await self._join(message, intake, decision)
            case Lead(flight):
                handled["led"].inc()
                await self._speaker.led(intake, flight)
                self._background.spawn(self._lead(message, intake, decision))

    async def _join(self, message: Delivery, intake: Intake, join: Join) -> None:
        # The same request once more was not collapsed: nobody saved a call.
        handled["resubmitted" if join.known else "joined"].inc()
        if not join.known:
            await self._speaker.joined(intake, join.flight, join.number)
            if not join.gated:
                self._pass_by(intake)
        if join.publish_again:
            self._background.spawn(self._lead(message, intake, join))
        else:
            await self._settling.handled(message, intake, join)

    async def _lead(self, message: Delivery, intake: Intake, decision: Lead | Join) -> None:
        """Publish the call; only then is the request handled. An unknown outcome leaves it to another coordinator."""
        try:
            if await self._leading.lead(intake, decision):
                await self._settling.handled(message, intake, decision)
        except HeldTooLong:
            await self._settling.send_back(message, intake.waiter)
        except RedisAway:
            await self._settling.untold(message, intake)
        except BrokerUnavailable:
            self._session.lost.set()
        except Exception:  # noqa: BLE001 - whatever it was, another coordinator must get what this one holds
            self._log.exception("request failed")
            self._session.lost.set()
        finally:
            if intake.step is not None:
                intake.step.end()

    def _pass_by(self, intake: Intake) -> None:
        """It needs no call of its own, so that nobody is to wait for its turn."""
        if intake.request.ordering_key:
            self._background.spawn(self._turns.pass_by(intake))


def _ended(why: str) -> OptimizerError:
    if why == "cancelled":
        return Cancelled("The request of this id was cancelled; ask again under another id.")
    return DeadlineExceeded("The deadline of the request of this id has passed; ask again under another id.")
