"""The exchanges and queues of a deployment, as data. Valid on RabbitMQ 3.10 to 4.x.

Every argument is set explicitly: defaults differ between versions, and a queue's arguments cannot be changed later.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from optimizer_wire.messages import Priority

DELIVERY_LIMIT = 20
REQUESTS_MAX = 100_000
CALLS_MAX = 100_000
DEAD_MAX = 100_000
KEPT_MAX_BYTES = 1024**3
# No limit: 4.x would take 20 for one that is not set, and 3.x does not know -1.
UNLIMITED = 1_000_000_000
MATES_EXPIRE_MS = 60_000
REPLY_EXPIRES_MS = 10 * 60 * 1000
# No request lives longer than a day. A call that no worker takes is looked after by the keeper of dead letters then:
# its own deadline must not end it, because somebody who joined its flight may have more time.
CALL_EXPIRES_MS = 25 * 3600 * 1000
EVENTS_BUFFER = 10_000
# What a recorder that is away may find again: an hour at 300 events a second.
RECORDER_MAX = 1_000_000
RECORDER_MAX_BYTES = 1024**3
# So much of the journal is one message at most: a recorder holds two thousand of them in its memory.
JOURNAL_MESSAGE_BYTES = 16 * 1024
# With so many messages it is full at the earliest.
RECORDER_FULL = RECORDER_MAX_BYTES // JOURNAL_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and the arguments it must have."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """A queue bound to an exchange."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything that has to exist before messages can flow."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a deployment's entities; `prefix` lets many deployments share one broker."""

    prefix: str = "optimizer"

    @property
    def requests(self) -> str:
        """Exchange and queue that agents publish to."""
        return f"{self.prefix}.requests"

    @property
    def calls(self) -> str:
        """Exchange that coordinators publish calls to."""
        return f"{self.prefix}.calls"

    @property
    def events(self) -> str:
        """Topic exchange of all events."""
        return f"{self.prefix}.events"

    @property
    def journal(self) -> str:
        """Exchange of all events once more, many in a message, for the recorder of the history."""
        return f"{self.prefix}.journal"

    @property
    def recorder(self) -> str:
        """Queue of the journal, for the recorder of the history."""
        return f"{self.events}.recorder"

    @property
    def dead(self) -> str:
        """Exchange and queue of what could not be handled, until a keeper takes it."""
        return f"{self.prefix}.dead"

    @property
    def kept(self) -> str:
        """Queue of the dead letters whose senders have been told, kept for operators."""
        return f"{self.prefix}.dead.kept"

    @property
    def kept_lock(self) -> str:
        """Queue of whoever looks through the kept letters, so that two do not hide them from each other."""
        return f"{self.prefix}.dead.kept.lock"

    @property
    def self_checks(self) -> str:
        """What the queues begin with that processes check themselves with."""
        return f"{self.prefix}.self-check."

    def call_key(self, backend: str, priority: Priority) -> str:
        """Routing key of a call."""
        return f"{backend}.{priority.value}"

    def call_queue(self, backend: str, priority: Priority) -> str:
        """Queue of a backend's calls of one priority."""
        return f"{self.prefix}.calls.{backend}.{priority.value}"

    def reply_queue(self, user: str, instance: str) -> str:
        """Queue on which one client instance of a RabbitMQ user awaits its replies."""
        return f"{self.reply_prefix(user)}{instance}"

    def event_queue(self, user: str, instance: str) -> str:
        """Queue on which one subscriber of a RabbitMQ user hears events."""
        return f"{self.events}.{user}.{instance}"

    def reply_prefix(self, user: str | None) -> str:
        """What the reply queues of a user begin with; of any user, if None."""
        return f"{self.prefix}.replies.{user}." if user else f"{self.prefix}.replies."


def _work_queue(name: str, dead: str, max_length: int) -> Queue:
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-max-length": max_length,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": dead,
            "x-dead-letter-strategy": "at-least-once",
        },
    )


def _dead_queue(name: str) -> Queue:
    """When it is full, what would come stays in the queue that it is from."""
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": UNLIMITED,
            "x-max-length": DEAD_MAX,
            "x-overflow": "reject-publish",
        },
    )


def _kept_queue(name: str) -> Queue:
    """Whoever looks at it hands everything back, as often as they like; when it is full the oldest letters go."""
    return Queue(
        name,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": UNLIMITED,
            "x-max-length": DEAD_MAX,
            "x-max-length-bytes": KEPT_MAX_BYTES,
            "x-overflow": "drop-head",
        },
    )


def shared_topology(names: Names) -> Topology:
    """What every process needs, whatever the backends."""
    return Topology(
        exchanges=(
            Exchange(names.requests, "direct"),
            Exchange(names.calls, "direct"),
            Exchange(names.events, "topic"),
            Exchange(names.journal, "fanout"),
            Exchange(names.dead, "fanout"),
        ),
        queues=(
            _work_queue(names.requests, names.dead, REQUESTS_MAX),
            _dead_queue(names.dead),
            _kept_queue(names.kept),
        ),
        bindings=(
            Binding(names.requests, names.requests, names.requests),
            Binding(names.dead, names.dead, ""),
        ),
    )


def backend_topology(names: Names, backends: Iterable[str]) -> Topology:
    """The call queues of the given backends, one for each priority."""
    pairs = [(backend, priority) for backend in backends for priority in Priority]
    return Topology(
        exchanges=(),
        queues=tuple(_work_queue(names.call_queue(*pair), names.dead, CALLS_MAX) for pair in pairs),
        bindings=tuple(Binding(names.calls, names.call_queue(*pair), names.call_key(*pair)) for pair in pairs),
    )


def reply_queue(name: str) -> Queue:
    """A client's own queue: durable, so that it survives a blip, and gone ten minutes after its last consumer."""
    return Queue(name, {"x-queue-type": "classic", "x-expires": REPLY_EXPIRES_MS})


def event_queue(name: str) -> Queue:
    """A subscriber's own bounded queue: a slow subscriber loses its oldest events and hinders nobody."""
    return Queue(
        name,
        {"x-queue-type": "classic", "x-max-length": EVENTS_BUFFER, "x-overflow": "drop-head"},
        durable=False,
        exclusive=True,
        auto_delete=True,
    )


def recorder_topology(names: Names) -> Topology:
    """What the recorder needs: the journal, on disk whatever its sender says, for one recorder at a time.

    A full queue gives its oldest events away: the fleet goes before its history.
    """
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": UNLIMITED,
        "x-single-active-consumer": True,
        "x-max-length": RECORDER_MAX,
        "x-max-length-bytes": RECORDER_MAX_BYTES,
        "x-overflow": "drop-head",
    }
    return Topology(
        exchanges=(Exchange(names.events, "topic"), Exchange(names.journal, "fanout")),
        queues=(Queue(names.recorder, arguments),),
        bindings=(Binding(names.journal, names.recorder, ""),),
    )


def former_recorder_binding(names: Names) -> Binding:
    """How the recorder heard of events before there was a journal: it would hear them twice."""
    return Binding(names.events, names.recorder, "optimizer.#")


def self_check_queue(names: Names, instance: str) -> Queue:
    """A process' own queue, for messages to itself; gone with its connection."""
    return Queue(
        f"{names.self_checks}{instance}",
        {"x-queue-type": "classic"},
        durable=False,
        exclusive=True,
        auto_delete=True,
    )


def mates_queue(names: Names, worker: str) -> Queue:
    """Where a worker hears from the others of its backend; its name is known to them, and outlives a connection."""
    return Queue(f"{names.self_checks}{worker}", {"x-queue-type": "classic", "x-expires": MATES_EXPIRE_MS})


def kept_lock(names: Names) -> Queue:
    """A queue of one connection alone, for nothing but to be there."""
    return Queue(names.kept_lock, {"x-queue-type": "classic"}, durable=False, exclusive=True, auto_delete=True)


def topic_pattern(pattern: str) -> str:
    """What a person means by an event pattern: a trailing `.*` includes everything below.

    In AMQP a `*` is exactly one word, so that `optimizer.*` would miss `optimizer.cache.hit`.
    """
    return f"{pattern[:-2]}.#" if pattern.endswith(".*") else "#" if pattern == "*" else pattern
