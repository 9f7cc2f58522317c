"""What is found about objectives, counts, outages and money."""

import pytest

from optimizer_config.alert_settings import AlertSettings, SpendBudget
from optimizer_config.load import load
from optimizer_config.model import Config
from optimizer_ops.alerts.counts import dead_letters, events_lost, rate_limited
from optimizer_ops.alerts.objectives import Served, degraded
from optimizer_ops.alerts.outages import backends_down, services_down
from optimizer_ops.alerts.spending import budgets_of, spending
from optimizer_ops.formatting.moments import clock
from optimizer_ops.live.status import BackendStatus, LiveStatus, Service

NOW = 1_800_000_000.0


def objectives(answered, failed, spared=0, p95_ms=None, **settings):
    found = degraded(AlertSettings(**settings), Served(answered=answered, failed=failed, spared=spared, p95_ms=p95_ms))
    return {finding.subject: finding for finding in found}


@pytest.mark.parametrize(
    ("answered", "failed", "state", "severity"),
    [
        (100, 0, "good", "warning"),
        (99, 1, "between", "warning"),
        (995, 5, "good", "warning"),
        (98, 2, "bad", "warning"),
        (80, 20, "bad", "critical"),
        (0, 20, "bad", "critical"),
        (0, 19, "good", "critical"),
        (0, 0, "good", "warning"),
    ],
)
def test_success_rate(answered, failed, state, severity):
    """It is bad under its floor, good when half of what may fail has come back, and good if there were too few."""
    found = objectives(answered, failed)["success_rate"]

    assert (found.state, found.severity) == (state, severity)


def test_p95_and_hit_rate():
    """They are judged only where an objective is written."""
    assert list(objectives(100, 0, p95_ms=9e9)) == ["success_rate"]
    settings = AlertSettings(p95_ms=8_000, hit_rate=0.2)
    found = {f.subject: f.state for f in degraded(settings, Served(answered=100, failed=0, spared=10, p95_ms=9_000))}
    well = {f.subject: f.state for f in degraded(settings, Served(answered=100, failed=0, spared=23, p95_ms=7_200))}
    between = {f.subject: f.state for f in degraded(settings, Served(answered=100, failed=0, spared=21, p95_ms=7_500))}
    few = {f.subject: f.state for f in degraded(settings, Served(answered=19, failed=0, spared=0, p95_ms=9_000))}

    assert found == {"success_rate": "good", "p95": "bad", "hit_rate": "bad"}
    assert well == dict.fromkeys(found, "good")
    assert between == {"success_rate": "good", "p95": "between", "hit_rate": "between"}
    assert few == dict.fromkeys(found, "good")


def test_counts():
    """Refusals have a threshold of their own; a dead letter or a lost event is one too many."""
    found = {f.subject: f.state for f in rate_limited(AlertSettings(), {"a": 11, "b": 10, "c": 5})}

    assert found == {"a": "bad", "b": "between", "c": "good"}
    assert [next(dead_letters(n)).state for n in (0, 1)] == ["good", "bad"]
    assert [next(events_lost(n)).state for n in (0, 1)] == ["good", "bad"]
    assert "1 message became a dead letter in" in next(dead_letters(1)).message


def backend(name, **more):
    known = {"workers": 1, "breaker": "closed", **more}
    return BackendStatus(name=name, label=name, kind="paid", configured=True, routes=[], models=[], **known)


def live(*backends, redis=True, coordinators=1, takes_nothing=""):
    return LiveStatus(
        at=NOW,
        prefix="p",
        rabbitmq=Service(name="RabbitMQ", url="", there=True, takes_nothing=takes_nothing),
        redis=Service(name="Redis", url="", there=redis, problem="" if redis else "Redis is away."),
        backends=list(backends),
        queues=[],
        coordinators=coordinators,
    )


def test_backends_down():
    """A backend without workers, with an open breaker, or blocked for long is down; one that is paused is not."""
    seen = live(
        backend("idle", workers=0),
        backend("broken", breaker="open", breaker_until=NOW + 100),
        backend("tried", breaker="half_open"),
        backend("parked", blocked_until=NOW + 3600, blocked_reason="quota_day"),
        backend("slowed", blocked_until=NOW + 5),
        backend("paused", mode="paused"),
        backend("well"),
    )
    found = {
        f.subject: f for f in backends_down(seen, {"code": ("idle", "broken/m", "paused"), "chat": ("idle", "well")})
    }

    assert {name: f.state for name, f in found.items()} == {
        "idle": "bad",
        "broken": "bad",
        "tried": "between",
        "parked": "bad",
        "slowed": "good",
        "paused": "good",
        "well": "good",
        "route code": "bad",
        "route chat": "good",
    }
    assert found["route code"].severity == "critical"
    assert found["route code"].message == (
        f"Nothing serves the route code: idle has no worker, broken failed too often and is left alone until "
        f"{clock(NOW + 100, NOW)}, paused is paused."
    )
    assert found["parked"].message == f"parked is blocked until {clock(NOW + 3600, NOW)} (quota_day)."


def test_redis_away():
    """While Redis is away nobody can tell of backends; that it is away is told."""
    seen = live(backend("b", workers=None), redis=False, coordinators=0, takes_nothing="low on disk")

    assert backends_down(seen, {}) is None
    assert {f.subject: (f.state, f.message) for f in services_down(seen)} == {
        "rabbitmq": ("bad", "low on disk"),
        "redis": ("bad", "Redis is away."),
        "coordinator": ("bad", "No coordinator runs: requests wait in their queue."),
    }
    assert {f.state for f in services_down(live())} == {"good"}


def test_budgets(tmp_path):
    """Budgets are those of [alerts.budgets], and the limits of money by the calendar that are written elsewhere."""
    file = tmp_path / "optimizer.toml"
    file.write_text(
        """
        [backends.mine]
        api = "openai"
        base_url = "http://127.0.0.1:1/v1"
        models = ["m"]
        limits = [{ usd_per_day = 3 }, { rpm = 5 }]
        [quotas]
        fleet = { usd_per_month = 100 }
        [alerts.budgets]
        fleet = { usd_per_day = 10 }
        backends.mine = { usd_per_day = 1 }
        """
    )

    budgets = {(b.spender, b.name, b.reset.every): b.micro_usd for b in budgets_of(load(str(file), {}))}
    assert budgets == {("fleet", "", "month"): 100e6, ("fleet", "", "day"): 10e6, ("backend", "mine", "day"): 1e6}


def test_spending():
    """A budget is told by steps; one for each agent is for those without their own."""
    budgets = budgets_of(
        Config(
            alerts=AlertSettings(
                budgets=(
                    SpendBudget("fleet", "day", 10_000_000),
                    SpendBudget("agent", "day", 1_000_000),
                    SpendBudget("agent", "day", 4_000_000, "rich"),
                )
            )
        )
    )
    began = budgets[0].began(NOW)
    nano = 1_000_000_000
    spent = {
        ("fleet", began): {"": 8 * nano},
        ("agent", began): {"rich": 3 * nano, "poor": nano, "thrifty": nano // 4, "": 9 * nano},
    }
    found = {f.subject: f for f in spending(budgets, spent, NOW)}

    assert {name: (f.state, f.severity) for name, f in found.items()} == {
        "fleet day": ("bad", "warning"),
        "agent rich day": ("bad", "info"),
        "agent poor day": ("bad", "critical"),
        "agent thrifty day": ("good", "info"),
    }
    assert found["fleet day"].message == "The fleet spent 80 % of its budget of this day: $8.00 of $10.00."
    assert (found["fleet day"].value, found["fleet day"].threshold) == (8.0, 8.0)
    assert {f.state for f in spending(budgets, {}, NOW)} == {"good"}
