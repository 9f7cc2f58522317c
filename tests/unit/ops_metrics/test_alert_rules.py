"""The alert rules by Prometheus' own checker: each fires for what it is there for, and none for a healthy fleet."""

import json
from pathlib import Path
from typing import Any

from tests.support.promtool import promtool
from tests.unit.ops_metrics.queries import OPS, RULES, alerts

AT_MIN = 60
HEALTHY = {
    'optimizer_build_info{process="coordinator", instance="c"}': "1x200",
    'optimizer_build_info{process="recorder", instance="r"}': "1x200",
    'up{job="optimizer", process="coordinator", instance="c"}': "1x200",
    'process_start_time_seconds{job="optimizer", process="coordinator", instance="c"}': "1000x200",
    'optimizer_rabbitmq_up{process="coordinator", instance="c"}': "1x200",
    'optimizer_rabbitmq_blocked{process="coordinator", instance="c"}': "0x200",
    'optimizer_redis_up{process="coordinator", instance="c"}': "1x200",
    'optimizer_self_check_failures_total{instance="c"}': "0x200",
    'optimizer_replies_total{source="backend", code="ok"}': "0+600x200",
    'optimizer_replies_total{source="none", code="deadline_exceeded"}': "0+1x200",
    'optimizer_replies_total{source="none", code="invalid_request"}': "0+600x200",
    'optimizer_request_duration_seconds_bucket{le="10"}': "0+600x200",
    'optimizer_request_duration_seconds_bucket{le="60"}': "0+600x200",
    'optimizer_request_duration_seconds_bucket{le="+Inf"}': "0+600x200",
    'optimizer_budget_used{backend="b", limit="rpm", dimension="requests"}': "15x200",
    'optimizer_budget_limit{backend="b", limit="rpm", dimension="requests"}': "30x200",
    'optimizer_budget_used{backend="b", limit="concurrency", dimension="requests"}': "8x200",
    'optimizer_budget_limit{backend="b", limit="concurrency", dimension="requests"}': "8x200",
    'optimizer_backend_breaker_state{backend="b", state="open"}': "0x200",
    'optimizer_backend_breaker_state{backend="b", state="closed"}': "1x200",
    'optimizer_backend_blocked_seconds{backend="b"}': "60x200",
    'optimizer_backend_workers{backend="b"}': "2x200",
    'optimizer_calls_total{backend="b", model="m", outcome="unauthorized"}': "0x200",
    'optimizer_queue_consumers{queue="requests"}': "2x200",
    'optimizer_queue_messages{queue="requests"}': "5x200",
    'optimizer_queue_consumers{queue="dead.kept"}': "0x200",
    'optimizer_queue_messages{queue="dead.kept"}': "20000x200",
    'optimizer_coordinator_dead_letters_total{why="rejected"}': "7x50 9x150",
    'optimizer_coordinator_dead_letters_total{why="expired"}': "7x200",
    'optimizer_condemned_calls_total{backend="b"}': "0x200",
    "optimizer_coordinator_dead_letters_unroutable_total": "0x200",
    "optimizer_recorder_lag_seconds": "1x200",
    "optimizer_recorder_write_failures_total": "0x200",
    "optimizer_recorder_events_lost_total": "3x200",
}


def but(*alerts: str, at_min: int = AT_MIN, change: dict[str, str]) -> tuple[set[str], int, dict[str, str]]:
    """A case: these alerts fire at that minute when the healthy fleet is changed like this, and no others."""
    return set(alerts), at_min, change


CASES = [
    # 20 % fail, for an hour and still; the month's budget is gone in a day and a half.
    but(
        "OptimizerErrorBudgetBurnsFast",
        "OptimizerErrorBudgetBurnsSlowly",
        at_min=60,
        change={'optimizer_replies_total{source="none", code="deadline_exceeded"}': "0+150x200"},
    ),
    # 6.5 % fail: no longer slow, not yet 14.4 times the budget, but six times.
    but(
        "OptimizerErrorBudgetBurnsFast",
        "OptimizerErrorBudgetBurnsSlowly",
        at_min=364,
        change={
            'optimizer_replies_total{source="backend", code="ok"}': "0+935x400",
            'optimizer_replies_total{source="none", code="internal"}': "0+65x400",
        },
    ),
    but(
        "OptimizerErrorBudgetBurnsSlowly",
        at_min=1500,
        change={
            'optimizer_replies_total{source="backend", code="ok"}': "0+960x1600",
            'optimizer_replies_total{source="none", code="internal"}': "0+40x1600",
        },
    ),
    but(
        "OptimizerSlow",
        change={
            'optimizer_request_duration_seconds_bucket{le="10"}': "0+100x200",
            'optimizer_request_duration_seconds_bucket{le="60"}': "0+600x200",
        },
    ),
    but(
        "OptimizerBudgetExhausted",
        change={'optimizer_budget_used{backend="b", limit="rpm", dimension="requests"}': "29x20 30x180"},
    ),
    but("OptimizerBreakerOpen", change={'optimizer_backend_breaker_state{backend="b", state="open"}': "0x50 1x150"}),
    but("OptimizerBackendBlocked", change={'optimizer_backend_blocked_seconds{backend="b"}': "7200-60x120"}),
    but(
        "OptimizerBackendRefusesKey",
        change={'optimizer_calls_total{backend="b", model="m", outcome="unauthorized"}': "0x55 1x150"},
    ),
    but("OptimizerNoWorkers", change={'optimizer_backend_workers{backend="b"}': "2x50 0x150"}),
    but("OptimizerNoCoordinator", change={'optimizer_build_info{process="coordinator", instance="c"}': "1x40 stale"}),
    but("OptimizerProcessDown", change={'up{job="optimizer", process="coordinator", instance="c"}': "1x50 0x150"}),
    but(
        "OptimizerProcessRestarts",
        change={'process_start_time_seconds{job="optimizer", process="coordinator", instance="c"}': "1x50 2 3 4 5x150"},
    ),
    but("OptimizerSelfCheckFailing", change={'optimizer_self_check_failures_total{instance="c"}': "0x55 1x150"}),
    but("OptimizerNoConsumers", change={'optimizer_queue_consumers{queue="requests"}': "2x50 0x150"}),
    but("OptimizerQueueLong", change={'optimizer_queue_messages{queue="requests"}': "5x50 20000x150"}),
    but("OptimizerDeadLetters", change={'optimizer_coordinator_dead_letters_total{why="expired"}': "7x50 8x150"}),
    but("OptimizerDeadLetters", change={'optimizer_coordinator_dead_letters_total{why="rejected"}': "7x45 7+3x150"}),
    but("OptimizerCallKillsWorkers", change={'optimizer_condemned_calls_total{backend="b"}': "0x50 1x150"}),
    but("OptimizerDeadLettersUnroutable", change={"optimizer_coordinator_dead_letters_unroutable_total": "0x50 1x150"}),
    but("OptimizerRabbitmqAway", change={'optimizer_rabbitmq_up{process="coordinator", instance="c"}': "1x50 0x150"}),
    but(
        "OptimizerRabbitmqAlarm",
        change={'optimizer_rabbitmq_blocked{process="coordinator", instance="c"}': "0x50 1x150"},
    ),
    but("OptimizerRedisAway", change={'optimizer_redis_up{process="coordinator", instance="c"}': "1x50 0x150"}),
    but("OptimizerRecorderDown", change={'optimizer_build_info{process="recorder", instance="r"}': "1x40 stale"}),
    but("OptimizerRecorderLags", change={"optimizer_recorder_lag_seconds": "1x40 90x150"}),
    but("OptimizerRecorderFails", change={"optimizer_recorder_write_failures_total": "0x50 1+1x150"}),
    but("OptimizerEventsLost", change={"optimizer_recorder_events_lost_total": "3x50 4x150"}),
]


def case(expected: set[str], at_min: int, change: dict[str, str]) -> dict[str, Any]:
    """The case as promtool wants it."""
    # Healthy series that end before the minute would be taken for gone.
    lasting = {name: values.replace("x200", f"x{at_min + 10}") for name, values in HEALTHY.items()} | change
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in lasting.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{at_min}m",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)],
            }
        ],
    }


def test_alerts_fire_for_their_faults(tmp_path: Path):
    """Each alert fires for its fault, and it alone; none fires for a fleet that is well, whatever its agents do."""
    everything = (*CASES, but(change={}))
    # What takes hours is looked at more seldom, but often enough that no recorded series is out of date.
    for name, every, cases in (
        ("short", "2m", [case(*each) for each in everything if each[1] <= AT_MIN]),
        ("long", "4m", [case(*each) for each in everything if each[1] > AT_MIN]),
    ):
        whole = {"rule_files": [str(path) for path in RULES], "evaluation_interval": every, "tests": cases}
        (tmp_path / f"{name}.yml").write_text(json.dumps(whole))  # JSON is YAML
        promtool("test", "rules", f"{name}.yml", folder=tmp_path)


def test_every_alert_is_tried():
    """There is a case for every alert."""
    assert set().union(*(names for names, _, _ in CASES)) == {alert["alert"] for alert in alerts()}


def test_rules_and_scraping_are_valid(tmp_path: Path):
    """promtool takes the rules and the scrape configuration as they are."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    for path in (OPS / "prometheus").rglob("*.yml"):
        target = folder / path.relative_to(OPS / "prometheus")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    (folder / "admin_token").write_text("a token of at least 16\n")

    promtool("check", "rules", *(path.name for path in RULES), folder=folder)
    promtool("check", "config", "prometheus.yml", folder=folder)
