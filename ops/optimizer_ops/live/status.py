"""The fleet as it was seen at one moment, as data: for people, programs and alerts.

Times are Unix seconds of this machine's clock, durations say their unit, money is in US dollars. None means that it was
not to be seen, which is never shown as 0.
"""

from typing import Literal

import msgspec

from optimizer_config.model import Dimension

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")
Role = Literal["requests", "calls", "dead", "kept", "recorder"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong or worth knowing, and what to do about it.

    `subject` is what it is about: a backend, a queue, `rabbitmq`, `redis`, `coordinator`, `recorder`, a route.
    """

    severity: Severity
    subject: str
    message: str
    what_to_do: str


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """RabbitMQ or Redis. `problem` says why it is away, `takes_nothing` why it reads no messages though it is there."""

    name: str
    url: str
    there: bool
    version: str = ""
    latency_ms: float | None = None
    problem: str = ""
    takes_nothing: str = ""


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """One queue: `ready` messages that no consumer holds. Both None: it does not exist (`missing`), or is not shown."""

    name: str
    role: Role
    backend: str = ""
    priority: str = ""
    ready: int | None = None
    consumers: int | None = None
    missing: bool = False


class LimitUse(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of a backend, or concurrency: amounts in its `dimension`; `left` below zero is a debt.

    `share` is the used and reserved part of `count`; `frees_at` when the next part of what is used leaves the window.
    """

    name: str
    dimension: Dimension
    configured: float
    count: float
    used: float
    reserved: float
    left: float
    share: float
    frees_at: float | None = None


class BackendStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One backend. What Redis tells is None while Redis is away: then `workers` too.

    `configured`: the file names it; `route`s are those that may go there. `blocked_until` and `breaker_until` are None
    if nothing stops calls. `ready_at` is when a new call would start, as its workers tell; None means now, or unknown.
    `waiting` are calls in its queues that no worker holds, `in_flight` those that run.
    """

    name: str
    label: str
    kind: str
    configured: bool
    routes: list[str]
    models: list[str]
    workers: int | None = None
    mode: Literal["paused", "draining"] | None = None
    blocked_until: float | None = None
    blocked_reason: str = ""
    breaker: Literal["closed", "open", "half_open"] | None = None
    breaker_failures: int = 0
    breaker_until: float | None = None
    limits: list[LimitUse] = []
    in_flight: int | None = None
    concurrency: int | None = None
    ready_at: float | None = None
    waits_for: str = ""
    waiting: int | None = None

    @property
    def tightest(self) -> LimitUse | None:
        """The limit of which most is used."""
        return max(self.limits, key=lambda limit: limit.share, default=None)

    def stopped(self, now: float) -> bool:
        """Whether no call starts here, because somebody or something has stopped it."""
        blocked = self.blocked_until is not None and self.blocked_until > now
        return self.mode == "paused" or self.breaker == "open" or blocked


class LiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All that is to be seen now. `coordinators` and `recorders` are counted by the consumers of their queues."""

    at: float
    prefix: str
    rabbitmq: Service
    redis: Service
    backends: list[BackendStatus]
    queues: list[Queue]
    coordinators: int | None = None
    recorders: int | None = None
    problems: list[Problem] = []

    def queue(self, role: Role) -> Queue | None:
        """The first queue of a role, if it was looked at."""
        return next((queue for queue in self.queues if queue.role == role), None)
