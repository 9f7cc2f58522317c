"""The worker's connection as its jobs see it: there may be another one by the time a job ends."""

import msgspec

from optimizer_service.outbox import Outbox, publish_call
from optimizer_state.store import Store
from optimizer_wire.broker_errors import BrokerUnavailable, Refused, Unconfirmed, Unroutable
from optimizer_wire.channel import Channel
from optimizer_wire.messages import MovedFrom
from optimizer_wire.session import Session
from optimizer_wire.topology import Names
from optimizer_workers.job import Job

# While RabbitMQ has an alarm a message is waited for; a new connection would be blocked as well.
BLOCKED_S = 900.0


class Link:
    """The present session and its channels. `stage` counts sessions: a delivery can be acked only on its own."""

    def __init__(self, names: Names, store: Store) -> None:
        self.names = names
        self.stage = 0
        self._store = store
        self._session: Session | None = None
        self._channel: Channel | None = None
        self._calls: Channel | None = None
        self._outbox: Outbox | None = None

    def connect(self, session: Session, channel: Channel, calls: Channel) -> None:
        """Begin a new stage. `channel` is for deliveries and what belongs to them, `calls` has confirms."""
        self.stage += 1
        self._session, self._channel, self._calls = session, channel, calls
        self._outbox = Outbox(channel, self.names, self._store)

    @property
    def up(self) -> bool:
        """Whether there is a session now."""
        return self._session is not None and not self._session.lost.is_set()

    @property
    def channel(self) -> Channel:
        """The channel of the present session.

        :raises BrokerUnavailable: if there is none.
        """
        if self._channel is None or not self.up:
            raise BrokerUnavailable("There is no connection to RabbitMQ for now.")
        return self._channel

    @property
    def calls(self) -> Channel:
        """The channel with confirms.

        :raises BrokerUnavailable: if there is none.
        """
        if self._calls is None or not self.up:
            raise BrokerUnavailable("There is no connection to RabbitMQ for now.")
        return self._calls

    @property
    def outbox(self) -> Outbox:
        """Where to speak now.

        :raises BrokerUnavailable: if there is no session.
        """
        if self._outbox is None or not self.up:
            raise BrokerUnavailable("There is no connection to RabbitMQ for now.")
        return self._outbox

    @property
    def blocked(self) -> str | None:
        """Why RabbitMQ takes no messages for now, or None."""
        return self._session.blocked if self._session is not None and self.up else None

    def give_up(self) -> None:
        """End the session: its unacked deliveries go to whoever is next."""
        if self._session is not None:
            self._session.lost.set()

    def has(self, job: Job) -> bool:
        """Whether a job's delivery is one of the present session; else it will be delivered anew."""
        return job.stage == self.stage and self.up

    async def ack(self, job: Job) -> None:
        """Tell the broker that a job is done; a delivery of an earlier session is no longer ours to ack."""
        if job.stage == self.stage:
            await self.channel.ack(job.tag)

    async def reject(self, job: Job) -> None:
        """Send a job's message to the dead letters, if it is still ours."""
        if job.stage == self.stage:
            await self.channel.reject(job.tag)

    async def requeue(self, job: Job) -> None:
        """Hand a job's message back to its queue, if it is still ours."""
        if job.stage == self.stage:
            await self.channel.requeue(job.tag)

    async def send_to(self, job: Job, number: int, hop: int, moved_from: MovedFrom | None = None) -> bool:
        """Publish a job's call to one station of its route; False if that does not take it.

        :raises BrokerUnavailable: if the outcome is unknown.
        """
        calls = self.calls
        attempts = job.call.attempts + job.attempts
        # A call that has ended here killed nobody.
        deliveries = 0 if job.attempts else job.call.deliveries + job.deliveries
        call = msgspec.structs.replace(
            job.call, hop=hop, number=number, attempts=attempts, moved_from=moved_from, deliveries=deliveries
        )
        try:
            await publish_call(calls, self.names, call, blocked_s=BLOCKED_S)
        except (Unroutable, Refused):
            return False
        except Unconfirmed as error:
            self.give_up()
            raise BrokerUnavailable(str(error)) from error
        return True
