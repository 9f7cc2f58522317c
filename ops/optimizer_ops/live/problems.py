"""What is wrong with the fleet now, worst first, each with what to do. Pure."""

from collections.abc import Iterator, Sequence

from optimizer_ops.formatting.moments import clock, until
from optimizer_ops.formatting.units import count_of, duration
from optimizer_ops.history.views import AlertRow, Recording
from optimizer_ops.live.advice import what_to_do
from optimizer_ops.live.status import SEVERITIES, BackendStatus, LiveStatus, Problem, Severity
from optimizer_wire.events import BACKEND_DOWN, DEAD
from optimizer_wire.topology import CALLS_MAX, RECORDER_FULL, REQUESTS_MAX

# A backend that is blocked for less merely said "slow down".
PARKED_S = 60.0
SILENT_RECORDER_S = 60.0
_SEEN_NOW = frozenset({BACKEND_DOWN, DEAD})
_NEARLY_FULL = 0.8
_BLOCKED_DO = {
    "unauthorized": "Its key is refused: check api_key_env or api_key_file of {0}, then restart its workers.",
    "billing": "Its account is empty: add credit, or take {0} out of the routes.",
    "quota_day": "Its daily quota is used up: nothing, or put another backend into its routes.",
}


def problems_of(
    status: LiveStatus, recording: Recording | None = None, alerts: Sequence[AlertRow] = ()
) -> list[Problem]:
    """Everything that is wrong or worth knowing, the worst first; with what the history tells, if there is one.

    Of the alerts that last, those of routes that are out and of dead letters are left away: they are seen here as they
    are now.
    """
    found = [
        *_services(status),
        *_processes(status),
        *_queues(status),
        *_routes(status),
        *_backends(status),
        *(_recorder(recording, status) if recording is not None else ()),
        *(_alert(alert) for alert in alerts if alert.until is None and alert.name not in _SEEN_NOW),
    ]
    return sorted(found, key=lambda problem: SEVERITIES.index(problem.severity))


def _services(status: LiveStatus) -> Iterator[Problem]:
    rabbitmq, redis = status.rabbitmq, status.redis
    if not rabbitmq.there:
        yield Problem(
            severity="critical",
            subject="rabbitmq",
            message=_sentence(rabbitmq.problem),
            what_to_do="Start RabbitMQ, or correct OPTIMIZER_AMQP_URL; no request gets through without it.",
        )
    elif rabbitmq.takes_nothing:
        yield Problem(
            severity="critical",
            subject="rabbitmq",
            message=f"RabbitMQ takes no messages: {rabbitmq.takes_nothing}.",
            what_to_do="Give it room: rabbitmqctl status shows its alarms. Everything goes on by itself then.",
        )
    if not redis.there:
        yield Problem(
            severity="critical",
            subject="redis",
            message=_sentence(redis.problem),
            what_to_do="Start Redis, or correct OPTIMIZER_REDIS_URL; until then no cache, no collapsing, and each "
            "worker lives on its share.",
        )


def _processes(status: LiveStatus) -> Iterator[Problem]:
    if status.coordinators == 0:
        requests = status.queue("requests")
        never = (
            "has run here yet" if requests is not None and requests.missing else "runs: requests wait in their queue"
        )
        yield Problem(
            severity="critical",
            subject="coordinator",
            message=f"No coordinator {never}.",
            what_to_do="optimizer coordinator, or optimizer up; if it should be there, check prefix and virtual host.",
        )
    if _no_workers(status):
        yield Problem(
            severity="critical",
            subject="workers",
            message=f"No worker runs: nobody calls {', '.join(backend.name for backend in status.backends)}.",
            what_to_do="optimizer worker NAME for each, or optimizer up",
        )
    if status.recorders == 0:
        yield Problem(
            severity="warning",
            subject="recorder",
            message="No recorder runs: what happens now is not in the history.",
            what_to_do="optimizer recorder; once it has run, its queue keeps what happens while it is away.",
        )


def _no_workers(status: LiveStatus) -> bool:
    """Whether nothing works at all, which is one problem and not one for each backend and route."""
    return bool(status.backends) and all(backend.workers == 0 for backend in status.backends)


def _recorder(recording: Recording, status: LiveStatus) -> Iterator[Problem]:
    behind_s = status.at - recording.beat
    if behind_s > SILENT_RECORDER_S and status.recorders != 0:
        yield Problem(
            severity="warning",
            subject="recorder",
            message=f"The recorder last wrote {duration(behind_s)} ago; {recording.waiting:,} events waited then.",
            what_to_do="Look at its log: the database may be full, locked or away. Start it again: optimizer recorder",
        )
    if recording.lost:
        yield Problem(
            severity="info",
            subject="recorder",
            message=f"{count_of(recording.lost, 'event')} never reached the history.",
            what_to_do="Nothing brings them back: sums are too low by them. optimizer doctor says if it goes on.",
        )


def _alert(alert: AlertRow) -> Problem:
    named: dict[str, Severity] = {"critical": "critical", "info": "info"}
    return Problem(
        severity=named.get(alert.severity, "warning"),
        subject=alert.subject or alert.name,
        message=f"{alert.name} since {clock(alert.since, alert.since)}: {_sentence(alert.message)}",
        what_to_do=what_to_do(alert.name, alert.subject) or "docs/operations.md, Alerts, says what it means.",
    )


def _queues(status: LiveStatus) -> Iterator[Problem]:
    for queue in status.queues:
        ready = queue.ready or 0
        if queue.role == "kept" and ready:
            yield Problem(
                severity="warning",
                subject="dead letters",
                message=f"{count_of(ready, 'dead letter')} {'is' if ready == 1 else 'are'} kept.",
                what_to_do="optimizer dead list; then optimizer dead replay or drop",
            )
        if queue.role == "recorder" and ready >= RECORDER_FULL:
            yield Problem(
                severity="warning",
                subject="recorder",
                message=f"{ready:,} messages full of events wait for the recorder; beyond 1 GiB its queue gives the "
                "oldest away.",
                what_to_do="Start it, or look at its log: the database may be full, locked or slow.",
            )
        most = {"requests": REQUESTS_MAX, "calls": CALLS_MAX}.get(queue.role)
        if most and ready >= _NEARLY_FULL * most:
            yield Problem(
                severity="critical",
                subject=queue.name,
                message=f"{ready:,} messages wait in {queue.name}, which takes {most:,}; then new ones are refused.",
                what_to_do="More workers, another backend in the route, or fewer requests.",
            )


def _routes(status: LiveStatus) -> Iterator[Problem]:
    """Routes of which every backend is out."""
    if not status.redis.there or _no_workers(status):
        return
    names = sorted({route for backend in status.backends for route in backend.routes})
    for route in names:
        members = [backend for backend in status.backends if route in backend.routes]
        whys = [(backend, _out(backend, status.at)) for backend in members]
        if all(why for _, why in whys):
            yield Problem(
                severity="critical",
                subject=route,
                message=f"Nothing serves the route {route}: {', '.join(f'{each.name} {why}' for each, why in whys)}.",
                what_to_do="See the problems of these backends, or add another one to the route.",
            )


def _out(backend: BackendStatus, now: float) -> str:
    if not backend.workers:
        return "has no worker"
    if backend.mode == "paused":
        return "is paused"
    if backend.breaker == "open":
        opened = "" if backend.breaker_until is None else f" {until(backend.breaker_until, now)}"
        return f"has an open breaker{opened}"
    if backend.blocked_until is not None and backend.blocked_until - now >= PARKED_S:
        return f"is blocked {until(backend.blocked_until, now)}"
    return ""


def _backends(status: LiveStatus) -> Iterator[Problem]:
    for backend in status.backends:
        if backend.workers == 0 and not _no_workers(status):
            yield _without_worker(backend)
        yield from _of_backend(backend, status.at)


def _without_worker(backend: BackendStatus) -> Problem:
    waiting = f"; {count_of(backend.waiting, 'call')} in its queues" if backend.waiting else ""
    return Problem(
        severity="warning",
        subject=backend.name,
        message=f"{backend.name} has no worker{waiting}.",
        what_to_do=f"optimizer worker {backend.name}",
    )


def _of_backend(backend: BackendStatus, now: float) -> Iterator[Problem]:
    name = backend.name
    if backend.breaker == "open" and backend.breaker_until is not None:
        yield Problem(
            severity="warning",
            subject=name,
            message=f"The circuit breaker of {name} is open {until(backend.breaker_until, now)}: it failed too often.",
            what_to_do=f"optimizer backends {name} shows its errors; it tries again by itself then.",
        )
    if backend.blocked_until is not None:
        yield from _blocked(backend, backend.blocked_until, now)
    if backend.mode:
        yield Problem(
            severity="info",
            subject=name,
            message=f"{name} is {backend.mode}.",
            what_to_do=f"optimizer resume {name}, when it is to take requests again.",
        )
    tightest = backend.tightest
    if tightest is not None and tightest.share >= 1:
        frees = "" if tightest.frees_at is None else f"; it frees {until(tightest.frees_at, now, word='from')}"
        yield Problem(
            severity="info",
            subject=name,
            message=f"The limit {tightest.name} of {name} is used up{frees}.",
            what_to_do="Nothing: calls wait or move on. If it lasts, more backends in its routes or a higher limit.",
        )


def _blocked(backend: BackendStatus, blocked_until: float, now: float) -> Iterator[Problem]:
    parked = blocked_until - now >= PARKED_S or backend.blocked_reason in _BLOCKED_DO
    reason = f": {backend.blocked_reason}" if backend.blocked_reason else ""
    yield Problem(
        severity="warning" if parked else "info",
        subject=backend.name,
        message=f"{backend.name} is blocked {until(blocked_until, now)}{reason}.",
        what_to_do=_BLOCKED_DO.get(backend.blocked_reason, "Nothing: one call tries it again then.").format(
            backend.name
        ),
    )


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
