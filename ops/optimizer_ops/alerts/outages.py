"""Backends, routes and services that are down, from what Redis and RabbitMQ tell now. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from optimizer_ops.alerts.finding import Finding
from optimizer_ops.alerts.kinds import BACKEND_DOWN, SERVICE_DOWN
from optimizer_ops.formatting.moments import clock
from optimizer_ops.live.status import BackendStatus, LiveStatus

# A backend that is blocked for less merely said "slow down"; as `optimizer_coordinator.outages`.
PARKED_S = 60.0


def backends_down(live: LiveStatus, routes: Mapping[str, Sequence[str]]) -> list[Finding] | None:
    """Backends of the configuration that serve nobody, and routes without any that does; None while Redis is away.

    Who pauses a backend knows it: that is no alert, unless nothing else serves its route.
    """
    if not live.redis.there:
        return None
    known = {backend.name: backend for backend in live.backends if backend.workers is not None}
    whys = {name: why_down(backend, live.at) for name, backend in known.items()}
    found = [_backend(backend, whys[name]) for name, backend in known.items() if backend.configured]
    found += [_route(route, entries, whys) for route, entries in routes.items()]
    return found


def why_down(backend: BackendStatus, now: float) -> str:
    """Why nothing is served by a backend, as the end of a sentence; empty if it is.

    By the clock: the sentence is read again hours later, as what was wrong.
    """
    if not backend.workers:
        return "has no worker"
    if backend.breaker == "open":
        until = f" until {clock(backend.breaker_until, now)}" if backend.breaker_until else ""
        return f"failed too often and is left alone{until}"
    if backend.blocked_until is not None and backend.blocked_until - now >= PARKED_S:
        reason = f" ({backend.blocked_reason})" if backend.blocked_reason else ""
        return f"is blocked until {clock(backend.blocked_until, now)}{reason}"
    return "is paused" if backend.mode == "paused" else ""


def _backend(backend: BackendStatus, why: str) -> Finding:
    bad = why not in {"", "is paused"}
    return Finding(
        name=BACKEND_DOWN,
        subject=backend.name,
        # One call is trying whether it is back.
        state="bad" if bad else "between" if backend.breaker == "half_open" else "good",
        message=f"{backend.label} {why}." if why else f"{backend.label} serves.",
    )


def _route(route: str, entries: Sequence[str], whys: Mapping[str, str]) -> Finding:
    names = list(dict.fromkeys(entry.partition("/")[0] for entry in entries))
    out = [f"{name} {why}" for name in names if (why := whys.get(name, ""))]
    down = len(out) == len(names)
    return Finding(
        name=BACKEND_DOWN,
        subject=f"route {route}",
        state="bad" if down else "good",
        severity="critical",
        message=f"Nothing serves the route {route}: {', '.join(out)}." if down else f"The route {route} is served.",
    )


def services_down(live: LiveStatus) -> Iterator[Finding]:
    """RabbitMQ or Redis away, and no coordinator."""
    for service in (live.rabbitmq, live.redis):
        why = service.problem if not service.there else service.takes_nothing
        yield Finding(
            name=SERVICE_DOWN,
            subject=service.name.lower(),
            state="bad" if why or not service.there else "good",
            severity="critical",
            message=why or ("It cannot be reached." if not service.there else "It is back."),
        )
    if live.coordinators is not None:
        yield Finding(
            name=SERVICE_DOWN,
            subject="coordinator",
            state="good" if live.coordinators else "bad",
            severity="critical",
            message="A coordinator runs."
            if live.coordinators
            else "No coordinator runs: requests wait in their queue.",
        )
