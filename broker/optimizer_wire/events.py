"""Events: what happened, told to whoever listens on the topic exchange.

An event is a CloudEvent in binary mode: `id`, `source` and `type` travel as `cloudEvents_*` headers and in the body,
`time` in the body alone; the routing key is the type without `io.` and `.v1`. Every event has the same schema; fields
that do not apply are absent. There is never any prompt text in it.
"""

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import msgspec

from optimizer_wire.ids import new_id
from optimizer_wire.messages import VERSION, Op, Priority, Source, Task, Timings, Usage


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that happened. `time` is Unix seconds; `source` names the process that saw it.

    `seq` counts the events of a source, from 1: whoever hears all of them sees by the gaps how many were lost.
    """

    v: int
    id: str = msgspec.field(default_factory=new_id)
    type: str
    source: str
    time: float = msgspec.field(default_factory=time.time)
    seq: int = 0
    request_id: str | None = None
    work_id: str | None = None
    call_id: str | None = None
    fingerprint: str | None = None
    agent: str | None = None
    tenant: str | None = None
    op: Op | None = None
    task: Task | None = None
    priority: Priority | None = None
    backend: str | None = None
    model: str | None = None
    outcome: str | None = None
    answered_from: Source | None = None
    status: int | None = None
    attempt: int | None = None
    waiters: int | None = None
    prompt_chars: int | None = None
    waited_for: str | None = None
    waited_ms: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    price_version: str | None = None
    saved_usd: float | None = None
    timings: Timings | None = None
    age_s: float | None = None
    retry_after_s: float | None = None
    error_code: str | None = None
    error_signature: str | None = None
    alert: str | None = None
    subject: str | None = None
    severity: str | None = None
    value: float | None = None
    threshold: float | None = None
    message: str | None = None
    tags: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class EventKind:
    """A documented kind of event: its type (also the routing key), when it happens, and the fields that it adds."""

    type: str
    when: str
    fields: tuple[str, ...]


_WHO = ("request_id", "agent", "tenant", "op", "task", "priority", "tags")
_CALL = (*_WHO, "work_id", "call_id", "fingerprint", "backend", "model", "attempt", "prompt_chars")
_RESULT = (*_CALL, "outcome", "status", "waiters", "usage", "cost_usd", "price_version", "timings")

_JUDGED = ("subject", "severity", "value", "threshold", "message")

CACHE_HIT = "optimizer.cache.hit"
CACHE_MISS = "optimizer.cache.miss"
CACHE_FLUSHED = "optimizer.cache.flushed"
COLLAPSED = "optimizer.request.collapsed"
CALL_STARTED = "optimizer.call.started"
CALL_FINISHED = "optimizer.call.finished"
CALL_FAILED = "optimizer.call.failed"
RETRY = "optimizer.retry"
ERROR = "optimizer.error"
RATE_LIMIT = "optimizer.rate_limit"
BREAKER_OPEN = "optimizer.circuit_breaker.open"
BREAKER_HALF_OPEN = "optimizer.circuit_breaker.half_open"
BREAKER_CLOSED = "optimizer.circuit_breaker.closed"
BACKEND_DOWN = "optimizer.backend_down"
QUOTA = "optimizer.quota"
DEAD = "optimizer.dead"
DEAD_LOST = "optimizer.dead_letters_unroutable"
DEGRADED = "optimizer.degraded"
BUDGET_SPEND = "optimizer.budget.spend"
ALERT = "optimizer.alert"
OPERATOR = "optimizer.operator"
WORKER_STARTED = "optimizer.worker.started"
WORKER_STOPPED = "optimizer.worker.stopped"

KINDS: dict[str, EventKind] = {
    kind.type: kind
    for kind in (
        EventKind(
            CACHE_HIT,
            "a request was answered from the cache, by a coordinator, or by the worker that was to make its call",
            (
                *_WHO,
                "work_id",
                "fingerprint",
                "backend",
                "model",
                "answered_from",
                "usage",
                "cost_usd",
                "saved_usd",
                "age_s",
                "waiters",
                "timings",
            ),
        ),
        EventKind(
            CACHE_MISS,
            "a request leads: a call was sent to a backend",
            (*_WHO, "fingerprint", "work_id", "prompt_chars"),
        ),
        EventKind(CACHE_FLUSHED, "an operator removed answers from the cache", ("message",)),
        EventKind(COLLAPSED, "a request joined a call that is already on its way", (*_WHO, "fingerprint", "work_id")),
        EventKind(CALL_STARTED, "a worker begins an upstream call", (*_CALL, "waited_for", "waited_ms")),
        EventKind(
            CALL_FINISHED,
            "an upstream call gave an answer; a learning event, told again (same `call_id`) after a worker's death",
            _RESULT,
        ),
        EventKind(
            CALL_FAILED,
            "an upstream call gave no answer; a learning event",
            (*_RESULT, "retry_after_s", "error_code", "error_signature", "message"),
        ),
        EventKind(
            RETRY,
            "a failed call is sent to the next backend of its route, or will be made again at this one",
            (*_CALL, "outcome", "retry_after_s", "message"),
        ),
        EventKind(
            ERROR,
            "a request ended with an error, or a message could not be understood",
            (
                *_WHO,
                "work_id",
                "call_id",
                "fingerprint",
                "backend",
                "model",
                "prompt_chars",
                "error_code",
                "message",
                "waiters",
            ),
        ),
        EventKind(
            RATE_LIMIT,
            "a backend refused a call for its rate, calls wait for budget, or one moved on instead",
            (*_CALL, "outcome", "status", "retry_after_s", "message"),
        ),
        EventKind(
            BREAKER_OPEN,
            "a backend failed so often that nobody calls it for a while",
            ("backend", "outcome", "retry_after_s", "message"),
        ),
        EventKind(
            BREAKER_HALF_OPEN, "one call of the whole fleet tries a backend again", ("backend", "outcome", "message")
        ),
        EventKind(BREAKER_CLOSED, "a backend answers again and is called as before", ("backend", "outcome", "message")),
        EventKind(
            BACKEND_DOWN,
            "a whole route is out: each of its backends has no worker, an open circuit breaker, or is parked",
            ("backend", "retry_after_s", "message"),
        ),
        EventKind(
            QUOTA,
            "a request waits for the quota of its agent, its tenant or the fleet, or was refused for it",
            (*_WHO, "fingerprint", "outcome", "retry_after_s", "message"),
        ),
        EventKind(
            DEAD,
            "a message became a dead letter: it is kept, and those who waited for it are told",
            ("request_id", "agent", "tenant", "work_id", "outcome", "error_code", "waiters", "message"),
        ),
        EventKind(
            DEAD_LOST,
            "the exchange or queue of dead letters was missing, and was declared again; RabbitMQ kept what was due",
            ("message",),
        ),
        EventKind(
            DEGRADED,
            "the fleet is outside one of its objectives: success rate, p95 or hit rate (`subject`)",
            _JUDGED,
        ),
        EventKind(
            BUDGET_SPEND,
            "half of a budget of money is spent, or four fifths of it, or all",
            _JUDGED,
        ),
        EventKind(
            ALERT,
            "an alert was raised, escalated or cleared (`outcome`); `alert` is its name, "
            "which may be that of the events that it is about",
            ("alert", "outcome", "backend", *_JUDGED),
        ),
        EventKind(
            OPERATOR,
            "an operator paused, drained, resumed or unblocked a backend, or set or reset its limits (`outcome`)",
            ("backend", "outcome", "message"),
        ),
        EventKind(WORKER_STARTED, "a worker is ready for calls", ("backend", "message")),
        EventKind(WORKER_STOPPED, "a worker has drained and leaves", ("backend", "message")),
    )
}


# A process has one source; tests run several in one process.
_numbers: defaultdict[str, "itertools.count[int]"] = defaultdict(lambda: itertools.count(1))


def event(type_: str, source: str, **fields: Any) -> Event:
    """The next event of a source, of a documented kind. One that is made and not told counts as lost.

    :raises KeyError: if the type is not documented in `KINDS`.
    """
    kind = KINDS[type_].type
    return Event(v=VERSION, type=kind, source=source, seq=next(_numbers[source]), **fields)


def cloud_event_headers(happened: Event) -> dict[str, str]:
    """The CloudEvents attributes as AMQP headers (binary mode; the AMQP 0-9-1 binding exists only as drafts)."""
    return {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": happened.id,
        "cloudEvents_source": happened.source,
        "cloudEvents_type": f"io.{happened.type}.v1",
    }
