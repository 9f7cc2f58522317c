"""What is wrong with a fleet, from what was seen of it."""

import time

import msgspec
import pytest

from optimizer_ops.history.views import AlertRow, Recording
from optimizer_ops.live.problems import problems_of
from optimizer_ops.live.status import BackendStatus, LimitUse, LiveStatus, Queue, Service

NOW = 1_700_000_000.0


def backend(name="groq", **fields):
    """A backend that works, but for what is said."""
    usual = {"workers": 1, "breaker": "closed", "routes": ["default"]}
    return BackendStatus(name=name, label=name, kind="free", configured=True, models=["m"], **{**usual, **fields})


def service(name, **fields):
    """A service that is there, but for what is said."""
    return Service(**{"name": name, "url": f"{name}://here", "there": True, **fields})


def fleet(*backends, **fields):
    """A fleet that works, but for what is said."""
    usual = {
        "rabbitmq": service("RabbitMQ"),
        "redis": service("Redis"),
        "queues": [],
        "coordinators": 1,
        "recorders": 1,
    }
    return LiveStatus(at=NOW, prefix="p", backends=list(backends), **{**usual, **fields})


def told(status, *more):
    """(severity, subject, message) of each problem."""
    return [(each.severity, each.subject, each.message) for each in problems_of(status, *more)]


def clock(at):
    """A time of today, or any other day, as it is told."""
    same = time.localtime(at)[:3] == time.localtime(NOW)[:3]
    return time.strftime("%H:%M:%S" if same else "%Y-%m-%d %H:%M", time.localtime(at))


def test_a_fleet_that_works():
    """Nothing is wrong with a fleet that works."""
    assert told(fleet(backend())) == []


@pytest.mark.parametrize(
    ("status", "severity", "subject", "words"),
    [
        (
            fleet(rabbitmq=service("RabbitMQ", there=False, problem="no"), coordinators=None),
            "critical",
            "rabbitmq",
            "no.",
        ),
        (fleet(rabbitmq=service("RabbitMQ", takes_nothing="low on disk")), "critical", "rabbitmq", "low on disk"),
        (fleet(redis=service("Redis", there=False, problem="gone")), "critical", "redis", "gone."),
        (fleet(coordinators=0), "critical", "coordinator", "requests wait in their queue"),
        (
            fleet(coordinators=0, queues=[Queue(name="q", role="requests", missing=True)]),
            "critical",
            "coordinator",
            "has run here yet",
        ),
        (fleet(recorders=0), "warning", "recorder", "not in the history"),
        (fleet(queues=[Queue(name="k", role="kept", ready=1)]), "warning", "dead letters", "1 dead letter is kept"),
        (fleet(queues=[Queue(name="q", role="requests", ready=80_000)]), "critical", "q", "80,000 messages wait"),
        (fleet(queues=[Queue(name="r", role="recorder", ready=70_000)]), "warning", "recorder", "70,000 messages full"),
        (fleet(backend(mode="draining")), "info", "groq", "groq is draining"),
        (
            fleet(backend(), backend("mine", workers=0, waiting=2)),
            "warning",
            "mine",
            "mine has no worker; 2 calls in its queues",
        ),
    ],
)
def test_each_problem(status, severity, subject, words):
    """Each thing that is wrong is told alone, as severe as it is, with what it is about and what to do."""
    (problem,) = problems_of(status)

    assert (problem.severity, problem.subject) == (severity, subject)
    assert words in problem.message
    assert problem.what_to_do


def test_a_block_names_the_clock_the_time_left_and_the_reason():
    """A blocked backend is told with the wall-clock time, in how long that is, why, and what that reason asks for."""
    status = fleet(backend(blocked_until=NOW + 3_000, blocked_reason="unauthorized"), backend("other"))
    (problem,) = problems_of(status)

    assert problem.message == f"groq is blocked until {clock(NOW + 3_000)} (in 50 min): unauthorized."
    assert problem.severity == "warning"
    assert "key" in problem.what_to_do
    assert "groq" in problem.what_to_do


def test_a_short_block_is_no_warning():
    """A backend that said "slow down" for some seconds is worth knowing, and no warning; it takes no route out."""
    assert [each[0] for each in told(fleet(backend(blocked_until=NOW + 20, blocked_reason="throttled")))] == ["info"]


def test_a_route_that_is_out_comes_first():
    """A route whose backends are all out is critical and comes first; one with a backend left is not named."""
    broken = backend(breaker="open", breaker_until=NOW + 60, routes=["code", "default"])
    paused = backend("mine", mode="paused", routes=["code"])
    first, *others = told(fleet(broken, paused, backend("well")))

    assert first[:2] == ("critical", "code")
    assert f"groq has an open breaker until {clock(NOW + 60)} (in 60 s), mine is paused" in first[2]
    assert {severity for severity, _, _ in others} == {"warning", "info"}


def test_no_worker_at_all_is_one_problem():
    """Where no worker runs that is one problem, and not one for each backend and each route."""
    assert told(fleet(backend(workers=0), backend("mine", workers=0))) == [
        ("critical", "workers", "No worker runs: nobody calls groq, mine.")
    ]


def test_redis_away_says_nothing_of_backends():
    """What cannot be seen while Redis is away is not taken for a fault of the backends."""
    status = fleet(backend(workers=None, breaker=None), redis=service("Redis", there=False, problem="gone"))
    assert [subject for _, subject, _ in told(status)] == ["redis"]


def test_a_limit_that_is_used_up():
    """A limit without anything left is told with the time when it frees."""
    limit = LimitUse(
        name="rpd",
        dimension="requests",
        configured=10,
        count=10,
        used=10,
        reserved=0,
        left=0,
        share=1.0,
        frees_at=NOW + 90,
    )
    ((severity, _, message),) = told(fleet(backend(limits=[limit])))

    assert severity == "info"
    assert message == f"The limit rpd of groq is used up; it frees from {clock(NOW + 90)} (in 90 s)."


def test_what_the_history_adds():
    """A recorder that is silent or lost events, and alerts that last, are told; what is over is not."""
    recording = Recording(instance="r", beat=NOW - 600, newest=NOW, recorded=10, waiting=7, lost=3)
    alert = AlertRow(
        id="1",
        name="optimizer.degraded",
        subject="p95",
        severity="critical",
        since=NOW,
        until=None,
        value=1.0,
        threshold=2.0,
        message="slow",
    )
    over = msgspec.structs.replace(alert, until=NOW)
    down = msgspec.structs.replace(alert, name="optimizer.backend_down")
    found = told(fleet(backend()), recording, [alert, over, down])

    assert [(severity, subject) for severity, subject, _ in found] == [
        ("critical", "p95"),
        ("warning", "recorder"),
        ("info", "recorder"),
    ]
    assert "10 min ago; 7 events waited" in found[1][2]
    assert "3 events" in found[2][2]


def test_an_alert_says_what_to_do_and_no_more_than_it_is():
    """An alert keeps its severity among the problems, and what to do is about its subject."""
    slow = AlertRow(
        id="1",
        name="optimizer.degraded",
        subject="p95",
        severity="info",
        since=NOW,
        until=None,
        value=1.0,
        threshold=2.0,
        message="slow",
    )
    spent = msgspec.structs.replace(slow, name="optimizer.budget.spend", subject="fleet day", severity="warning")
    found = {each.subject: each for each in problems_of(fleet(backend()), None, [slow, spent])}

    assert (found["p95"].severity, found["fleet day"].severity) == ("info", "warning")
    assert "calls --slowest" in found["p95"].what_to_do
    assert "costs --by agent" in found["fleet day"].what_to_do
