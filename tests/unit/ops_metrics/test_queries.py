"""What rules and dashboards ask for is what the processes show."""

import json
import re
from pathlib import Path

import promql_parser
import pytest
from tests.unit.ops_metrics.queries import DASHBOARDS, alerts, panels, queries, rules, selected

from optimizer_backends.outcome import Outcome
from optimizer_ops.alerts.measure import _THEIR_OWN
from optimizer_ops.metrics.catalogue import metrics
from optimizer_ops.metrics.dashboards import DASHBOARDS as WANTED
from optimizer_ops.metrics.grafana import dashboard_json
from optimizer_wire.errors import CODES

ROOT = Path(__file__).parents[3]
# Of prometheus_client, and of Prometheus itself.
FOREIGN = {
    "up",
    "ALERTS",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
}
OF_TARGETS = {"job", "instance", "process", "alertname", "alertstate"}
SERIES = {name: set(metric.labels) for metric in metrics() for name in metric.series}
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
VALUES = {
    "code": {"ok", *CODES},
    "outcome": {outcome.value for outcome in Outcome},
    "source": {"backend", "cache", "collapsed", "direct", "none"},
    "process": {"coordinator", "worker", "recorder", "dashboard"},
}


@pytest.mark.parametrize(("where", "query"), queries())
def test_metrics_exist(where, query):
    """Every metric of a query is one that a process shows, and so is every label that it is chosen by."""
    for selector in selected(query):
        known = SERIES.get(selector.name)
        assert known is not None or selector.name in RECORDED | FOREIGN, f"{where}: nobody shows {selector.name}"
        for matcher in selector.matchers.matchers:
            if known is not None:
                assert matcher.name in known | OF_TARGETS | {"le"}, f"{where}: {selector.name} has no {matcher.name}"
            if allowed := VALUES.get(matcher.name):
                assert set(matcher.value.split("|")) <= allowed, f"{where}: {matcher.name} is never {matcher.value}"


def test_recorded_are_used():
    """Every recorded series is asked for, by an alert or a dashboard."""
    asked = {selector.name for _, query in queries() for selector in selected(query)}

    assert asked >= RECORDED


def test_failed_is_what_alerts_count():
    """The rules count those codes as failures that the alerts of the recorder count, no others."""
    failed = {matcher.value for rule in rules() if "failed_replies" in rule.get("record", "") for selector in
              selected(rule["expr"])[:1] for matcher in selector.matchers.matchers}  # fmt: skip

    assert len(failed) == 1
    assert set(failed.pop().split("|")) == set(CODES) - set(_THEIR_OWN)


def test_dashboards_are_made_from_the_code():
    """The files of the dashboards are what the code makes."""
    for dashboard in WANTED:
        text = (ROOT / f"ops/grafana/dashboards/{dashboard.uid}.json").read_text()
        assert text == dashboard_json(dashboard), "python -m optimizer_ops.metrics.grafana ops/grafana/dashboards"
    assert {path.stem for path in DASHBOARDS} == {dashboard.uid for dashboard in WANTED}


@pytest.mark.parametrize(("name", "panel"), panels(), ids=lambda value: value if isinstance(value, str) else "")
def test_panels(name, panel):
    """A panel has a title, a unit, a place of its own, and a legend for each of several series."""
    others = [other["gridPos"] for where, other in panels() if where == name and other["id"] != panel["id"]]
    at = panel["gridPos"]

    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert at["x"] + at["w"] <= 24
    assert not any(
        at["x"] < o["x"] + o["w"]
        and o["x"] < at["x"] + at["w"]
        and at["y"] < o["y"] + o["h"]
        and o["y"] < at["y"] + at["h"]
        for o in others
    )
    for target in panel["targets"]:
        several = re.search(r"\bby \((?!le\))", target["expr"])
        assert not several or "{{" in target["legendFormat"]


def test_every_metric_is_shown_somewhere():
    """Every metric is in a dashboard or an alert: what nobody looks at need not be counted."""
    asked = {selector.name for _, query in queries() for selector in selected(query)}
    unseen = {metric.name for metric in metrics() if not asked & set(metric.series)}

    assert unseen <= {
        "optimizer_coordinator_backend_alive",  # what the coordinator routes by, beside optimizer_backend_workers
        "optimizer_coordinator_batch_size",
        "optimizer_coordinator_fetches_total",
        "optimizer_breaker_changes_total",
        "optimizer_recorder_batch_size",
        "optimizer_recorder_database_up",
        "optimizer_budget_limit",
    }


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_runbooks(alert):
    """Every alert has a severity, a sentence, and a place in docs/operations.md that says what to do."""
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")

    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"].endswith(".")
    assert anchor == alert["alert"].lower()
    row = re.search(rf'<a id="{anchor}"></a>`{alert["alert"]}` \| ([^|]+) \| ([^|]+) \|', (ROOT / page).read_text())
    assert row, f"{page} says nothing of {alert['alert']}"
    assert min(map(len, row.groups())) > 20


def test_every_runbook_has_its_alert():
    """docs/operations.md explains no alert that there is not."""
    anchors = re.findall(r'<a id="(optimizer\w+)"></a>', (ROOT / "docs/operations.md").read_text())

    assert sorted(anchors) == sorted(alert["alert"].lower() for alert in alerts())


def test_queries_are_written_as_promql():
    """A query that is none is refused: the test above would see nothing in it."""
    with pytest.raises(ValueError, match="invalid"):
        promql_parser.parse("sum by (le rate(x[5m]))")
    assert json.dumps([name for name, _ in queries()])
