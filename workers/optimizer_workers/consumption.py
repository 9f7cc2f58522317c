"""What a worker takes from its backend's queues: calls that were understood, as long as it wants any."""

from collections.abc import Callable, Sequence

from optimizer_state.owners import owned_by
from optimizer_wire.calls import understood
from optimizer_wire.channel import Channel
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import OptimizerError
from optimizer_workers.job import Job

PREFETCH = 300  # of each of the three priorities: together the window that the scheduler orders


class Consumption:
    """The consumers of one session. `take` gets the calls; `refuse` the tag of what is no call, and why."""

    def __init__(
        self,
        channel: Channel,
        worker: str,
        stage: int,
        queues: Sequence[str],
        take: Callable[[Job], None],
        refuse: Callable[[int, OptimizerError], None],
        on_cancel: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._worker = worker
        self._stage = stage
        self._queues = queues
        self._take = take
        self._refuse = refuse
        self._on_cancel = on_cancel
        self._tags: list[str] = []

    @property
    def active(self) -> bool:
        """Whether calls come in."""
        return bool(self._tags)

    @property
    def queues(self) -> Sequence[str]:
        """The queues that are to have this consumer now."""
        return self._queues if self.active else ()

    @property
    def blocked(self) -> bool:
        """Whether the broker has an alarm, and may read nothing of this connection."""
        return self._channel.blocked is not None

    async def start(self) -> None:
        """Let calls come in."""
        for queue in self._queues:
            tag = await self._channel.consume(queue, self._receive, prefetch=PREFETCH, on_cancel=self._on_cancel)
            self._tags.append(tag)

    async def stop(self) -> None:
        """Let no more calls come in; those that have come stay."""
        while self._tags:
            await self._channel.stop_consuming(self._tags.pop())

    def _receive(self, message: Delivery) -> None:
        tag, redelivered = message.tag, message.redelivered
        try:
            call = understood(message.properties.message_type, message.body)
        except OptimizerError as error:
            self._refuse(tag, error)
            return
        deadline_ms, owner = call.waiter.deadline_ms, owned_by(self._worker)
        job = Job(call, tag, redelivered, self._stage, deadline_ms, look_first=redelivered, owner=owner)
        job.deliveries = message.deliveries
        self._take(job)
