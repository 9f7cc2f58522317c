"""What alerts take from the history."""

import pytest

from optimizer_config.alert_settings import AlertSettings
from optimizer_config.model import Reset
from optimizer_ops.alerts.measure import counted, spent
from optimizer_ops.alerts.spending import Budget
from optimizer_ops.history.database import reading, writing
from optimizer_ops.history.tables import calls, happenings, hourly, recorder, requests

NOW = 1_800_000_000.0 // 3600 * 3600 + 1800
WHO = {"tenant": "t", "agent": "a", "op": "chat", "task": "code", "priority": "standard", "model": "m"}


def add(database, table, *rows):
    with writing(database) as connection:
        connection.execute(table.insert(), list(rows))


def request(number, outcome, ended=NOW - 1, source="backend", backend="groq", total_ms=None):
    return {
        **WHO,
        "id": f"r{number}",
        "asked": NOW - 7200,
        "ended": ended,
        "outcome": outcome,
        "source": source,
        "backend": backend,
        "total_ms": total_ms,
    }


def look(database, **settings):
    with reading(database) as connection:
        return counted(connection, AlertSettings(**settings), NOW)


def test_served(database):
    """It counts what ended in the window, whenever it was asked; the faults of requests themselves do not count."""
    outcomes = ["answered", "answered", "deadline_exceeded", "internal", "a_code_of_a_newer_version", "unauthorized"]
    own = ["invalid_request", "cancelled", "quota_exceeded", "unknown_model", "open", "unknown"]
    rows = [request(n, outcome) for n, outcome in enumerate([*outcomes, *own])]
    rows += [request(50, "answered", source="cache"), request(51, "answered", source="collapsed")]
    rows += [request(60, "answered", ended=NOW - 301), request(61, "open", ended=None)]
    rows += [request(70, "unauthorized", backend=""), request(71, "cancelled", source=None)]
    add(database, requests, *rows)

    served = look(database).served
    assert (served.answered, served.failed, served.spared, served.p95_ms) == (4, 4, 2, None)


@pytest.mark.parametrize(("count", "p95"), [(1, 1.0), (19, 19.0), (20, 19.0), (100, 95.0), (101, 96.0)])
def test_p95(database, count, p95):
    """The 95th percentile is that of the nearest rank, of what was answered."""
    add(database, requests, *[request(n, "answered", total_ms=float(n)) for n in range(1, count + 1)])
    add(database, requests, request(1000, "internal", total_ms=1e9))

    assert look(database, p95_ms=1.0).served.p95_ms == p95


def test_happenings(database):
    """It counts refusals for the rate by backend, not waiting for budget, and dead letters of a quarter of an hour."""

    def happened(number, type_, outcome=None, backend=None, at=NOW - 10):
        return {"id": f"h{number}", "at": at, "type": type_, "source": "s", "outcome": outcome, "backend": backend}

    limited = [("throttled", "groq"), ("ramp", "groq"), ("waiting", "groq"), ("throttled", "mine"), ("moved", "mine")]
    rows = [happened(n, "optimizer.rate_limit", *each) for n, each in enumerate(limited)]
    rows += [happened(10, "optimizer.rate_limit", "throttled", "groq", NOW - 301)]
    rows += [happened(11, "optimizer.dead"), happened(12, "optimizer.dead", at=NOW - 901)]
    add(database, happenings, *rows)
    add(database, recorder, {"id": 1, "instance": "i", "beat": NOW, "recorded": 9, "lost": 7, "waiting": 0})

    found = look(database)
    assert (found.throttled, found.dead, found.lost) == ({"groq": 2, "mine": 1}, 1, 7)


def test_spent(database):
    """Money is added up from the beginning of each period, also where that is within an hour of UTC."""
    hour = int(NOW // 3600 * 3600)
    key = {"tenant": "acme", "task": "", "model": ""}
    rows = [
        (hour, "a", "groq", 5),
        (hour, "b", "groq", 7),
        (hour - 3600, "a", "mine", 100),
        (hour - 86_400, "a", "groq", 900),
    ]
    add(
        database,
        hourly,
        *[
            {**key, "hour": h, "agent": agent, "backend": backend, "cost_nano": nano}
            for h, agent, backend, nano in rows
        ],
    )
    add(
        database,
        calls,
        {
            **WHO,
            "id": "c1",
            "request_id": "r",
            "agent": "a",
            "backend": "groq",
            "worker": "w",
            "started": hour + 60,
            "cost_nano": 2,
        },
    )
    half_past = (hour + 1800 - 1800) % 86_400 // 60
    whole = Reset("day", half_past // 60, 0, "UTC")
    within = Reset("day", half_past // 60, 15, "UTC")

    def of(spender, reset):
        budget = Budget(spender=spender, name="", micro_usd=1, reset=reset)
        with reading(database) as connection:
            return spent(connection, [budget], NOW)[spender, budget.began(NOW)]

    assert of("fleet", whole) == {"": 12}
    assert of("agent", whole) == {"a": 5, "b": 7}
    assert of("backend", whole) == {"groq": 12}
    assert of("tenant", whole) == {"acme": 12}
    assert of("agent", within) == {"a": 3, "b": 7}
