"""A call that a worker holds: the message, and what is known of it so far."""

from dataclasses import dataclass, field

from optimizer_config.amounts import Amounts
from optimizer_service.tracing import Step
from optimizer_wire.errors import OptimizerError
from optimizer_wire.ids import new_id
from optimizer_wire.messages import Call, Hop


@dataclass(slots=True, eq=False)
class Job:
    """One delivery of a call.

    `stage` names the session it came on: after a reconnect its ack would mean another message. `owner` is a token of
    this delivery, so that a worker that gets the same call twice does not take its own first attempt for itself; it
    names the worker too, so that others can find out whether that lives.
    `hopeless_since_ms` says since when no backend seems to serve it in time. `amounts` is what it will probably use of
    the backend's limits, `cost` the same in tokens, for fair sharing; `chars` the length of its prompt; `used_tokens`
    what the last call did use, `error` how it failed; `call_id` names the upstream call that runs, or ran last.
    It is in line since `in_line_ms`; the last time it stood there for `waited_ms`, mostly for lack of `waited_for`.
    `charged` and `finish` are the scheduler's: the tokens that its agent was charged with, and until when, in the
    virtual time of its priority.
    `deliveries` is how often the broker delivered this copy before. A `suspect` is to run alone; `counted` says whether
    Redis knows how many workers it has killed. `step` is its part of a trace while its call is made, `call_trace` the
    place of the request to the backend in it.
    """

    call: Call
    tag: int
    redelivered: bool
    stage: int
    deadline_ms: int
    look_first: bool = False
    not_before_ms: int = 0
    held_since_ms: int = 0
    in_line_ms: int = 0
    waited_ms: int = 0
    waited_for: str | None = None
    hopeless_since_ms: int = 0
    attempts: int = 0
    retries: int = 0
    owner: str = field(default_factory=new_id)
    amounts: Amounts = Amounts()
    cost: int = 1
    chars: int = 0
    used_tokens: int = 0
    call_id: str | None = None
    error: OptimizerError | None = None
    charged: int = 0
    finish: float = 0.0
    deliveries: int = 0
    suspect: bool = False
    counted: bool = True
    step: Step | None = None
    call_trace: str = ""

    @property
    def hop(self) -> Hop:
        """The station that this call is at."""
        return self.call.route[self.call.hop]

    @property
    def further(self) -> bool:
        """Whether another backend of the route may still take it."""
        here = self.hop.backend
        return any(hop.backend != here and hop.backend not in self.call.failed for hop in self.call.route)

    def left_s(self, now_ms: int) -> float:
        """How long there is until nobody waits for it any more; below 0 afterwards."""
        return (self.deadline_ms - now_ms) / 1000
