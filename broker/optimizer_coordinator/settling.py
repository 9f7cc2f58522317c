"""How the message of a request ends: acked, rejected with a word to its sender, sent back, or kept in custody."""

from collections.abc import Callable

from optimizer_coordinator.custody import Custody
from optimizer_coordinator.intake import Asker, Envelope, Intake, Reception
from optimizer_coordinator.metrics import handled
from optimizer_coordinator.sending_back import SendingBack
from optimizer_coordinator.speaker import Speaker
from optimizer_service.crash_points import crash_point
from optimizer_state.admission import Join, Lead
from optimizer_state.store import RedisAway, Store
from optimizer_wire.broker_errors import Unconfirmed
from optimizer_wire.channel import Channel
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import IdempotencyConflict, OptimizerError
from optimizer_wire.messages import Waiter
from optimizer_wire.session import Session


class Settling:
    """Ends the messages of one session, each once; `again` takes one in custody as if it had just been delivered.

    Every method raises `BrokerUnavailable` if the connection is gone.
    """

    def __init__(
        self,
        session: Session,
        channel: Channel,
        store: Store,
        reception: Reception,
        speaker: Speaker,
        sending_back: SendingBack,
        hold_s: float,
        again: Callable[[Delivery], None],
    ) -> None:
        self._session = session
        self._channel = channel
        self._reception = reception
        self._speaker = speaker
        self._sending_back = sending_back
        self.custody = Custody(store, channel, speaker, hold_s, again, self.send_back)

    async def ack(self, message: Delivery) -> None:
        """It is handled."""
        if self.custody.settle(message):
            await self._channel.ack(message.tag)
        crash_point("coordinator.after_ack")

    async def handled(self, message: Delivery, intake: Intake, decision: Lead | Join) -> None:
        """There is a call, which carries this request if it leads it; one that was submitted and joined is watched."""
        if isinstance(decision, Join) and intake.submitted and self.custody.joined(message, intake.submission):
            return
        await self.ack(message)

    async def refuse(self, message: Delivery, envelope: Envelope, error: OptimizerError) -> None:
        """Tell the sender, if there is one to tell, and keep the message among the dead letters."""
        await self._refuse_to(message, self._reception.answer_to(envelope), self._reception.asker(envelope), error)

    async def _refuse_to(self, message: Delivery, reply_to: str | None, asker: Asker, error: OptimizerError) -> None:
        handled["refused"].inc()
        try:
            await self._speaker.refuse(message, reply_to, asker, error)
        except RedisAway:
            self.custody.untold(message)
            return
        if self.custody.settle(message):
            await self._channel.reject(message.tag)

    async def conflict(self, message: Delivery, intake: Intake) -> None:
        """The id belongs to another request, whose answer is the one to be fetched under it."""
        error = IdempotencyConflict("Another request was submitted under this id; submit this one under its own.")
        # Without its tenant: what is recorded of the other request is not ended by this one.
        await self._refuse_to(message, None, Asker(intake.request.agent), error)

    async def untold(self, message: Delivery, intake: Intake) -> None:
        """Redis is away, so that a mailbox could not be told. Those of others are looked after by who has their
        messages.
        """
        if intake.submitted:
            self.custody.untold(message)
        else:
            await self.ack(message)

    async def send_back(self, message: Delivery, waiter: Waiter) -> None:
        """It waited for as long as a message may be kept: to the end of the queue with it, or to this place again.

        Not by requeueing, but for a full queue: that counts towards the delivery limit, as if it had harmed somebody.
        """
        handled["sent_back"].inc()
        try:
            sent = await self._sending_back.send(message, waiter)
        except Unconfirmed:
            self._session.lost.set()
            return
        if sent:
            await self.ack(message)
        elif self.custody.settle(message):
            await self._channel.requeue(message.tag)
