"""A call that a worker holds: the message, and what is known of it so far."""

from dataclasses import dataclass, field

from optimizer_wire.ids import new_id
from optimizer_wire.messages import Call, Hop


@dataclass(slots=True, eq=False)
class Job:
    """One delivery of a call.

    `stage` names the session it came on: after a reconnect its ack would mean another message. `owner` is a token of
    this delivery, so that a worker that gets the same call twice does not take its own first attempt for itself.
    """

    call: Call
    tag: int
    redelivered: bool
    stage: int
    deadline_ms: int
    look_first: bool = False
    not_before_ms: int = 0
    held_since_ms: int = 0
    attempts: int = 0
    retries: int = 0
    owner: str = field(default_factory=new_id)

    @property
    def hop(self) -> Hop:
        """The station that this call is at."""
        return self.call.route[self.call.hop]

    @property
    def further(self) -> bool:
        """Whether the route goes on."""
        return self.call.hop + 1 < len(self.call.route)
