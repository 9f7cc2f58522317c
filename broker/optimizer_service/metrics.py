"""The metrics of every process: what it is, whether it is connected, what it told.

A series that can count is there from the start, at 0: what begins with 1 is no increase to Prometheus.
"""

from collections.abc import Callable, Collection
from importlib.metadata import version
from typing import get_args

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from optimizer_service.health import Readiness
from optimizer_wire.errors import CODES
from optimizer_wire.events import KINDS, Event
from optimizer_wire.messages import Reply, Source

# From a hit to the longest waits that people still look at.
REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OK, NO_SOURCE = "ok", "none"

# When each series began is a second series for each; `process_start_time_seconds` says it once.
disable_created_metrics()  # type: ignore[no-untyped-call]

BUILD_INFO = Gauge("optimizer_build_info", "Always 1; says what runs", ("process", "version"))
RABBITMQ_UP = Gauge(
    "optimizer_rabbitmq_up", "Whether the process is connected to RabbitMQ and gets its work", ("process",)
)
RABBITMQ_BLOCKED = Gauge(
    "optimizer_rabbitmq_blocked", "Whether RabbitMQ has an alarm and takes no messages", ("process",)
)
REDIS_UP = Gauge("optimizer_redis_up", "Whether Redis answered when last asked", ("process",))
SESSIONS_LOST = Counter("optimizer_rabbitmq_sessions_lost", "Connections to RabbitMQ that were lost, or not made")
SELF_CHECKS_FAILED = Counter(
    "optimizer_self_check_failures",
    "Messages of the process to itself that did not come back, and queues found without their consumer",
)
EVENTS = Counter("optimizer_events_published", "Events that were told", ("type",))
EVENTS_LOST = Counter("optimizer_events_lost", "Events that could not be told: there was no connection")
REPLIES = Counter(
    "optimizer_replies",
    "Replies to requests: where the answer was, or the code of the error",
    ("source", "code"),
)
REQUEST_SECONDS = Histogram(
    "optimizer_request_duration_seconds",
    "Time of answered requests, from their admission to their reply",
    ("source",),
    buckets=REQUEST_BUCKETS_S,
)
SAVED = Counter("optimizer_saved_usd", "What answers cost when they were called for, told again for nothing", ("by",))

_told = {kind: EVENTS.labels(kind) for kind in KINDS}
_answered = {source: (REPLIES.labels(source, OK), REQUEST_SECONDS.labels(source)) for source in get_args(Source)}
_failed = {code: REPLIES.labels(NO_SOURCE, code) for code in CODES}
saved_by_cache, saved_by_collapsing = SAVED.labels("cache"), SAVED.labels("collapsed")


def describe_process(
    process: str, readiness: Callable[[], Readiness], *, uses: Collection[str] = ("rabbitmq", "redis")
) -> None:
    """Let the metrics of this process say what it is, and, whenever they are read, how it stands with what it uses."""
    BUILD_INFO.labels(process, version("fleet-optimizer")).set(1)
    if "rabbitmq" in uses:
        RABBITMQ_UP.labels(process).set_function(lambda: float("rabbitmq" not in readiness().missing))
        RABBITMQ_BLOCKED.labels(process).set_function(lambda: float("rabbitmq" in readiness().degraded))
    if "redis" in uses:
        REDIS_UP.labels(process).set_function(lambda: float("redis" not in readiness().degraded))


def count_event(event: Event) -> None:
    """An event was told."""
    _told[event.type].inc()


def count_reply(reply: Reply) -> None:
    """A request was answered. Replies to questions about submitted requests are none: they may be asked often."""
    if reply.status is not None:
        return
    if not reply.ok:
        code = reply.error.code if reply.error else ""
        (_failed.get(code) or _failed["internal"]).inc()
        return
    answered, seconds = _answered[reply.source]
    answered.inc()
    seconds.observe(reply.timings.total_ms / 1000)
