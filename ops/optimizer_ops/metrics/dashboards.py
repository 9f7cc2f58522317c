"""What the Grafana dashboards show. `grafana.py` makes their JSON of it."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stat", "timeseries"]
_RATE = "[$__rate_interval]"
_REQUESTS = "optimizer_request_duration_seconds"


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its queries with their legends, and the unit of the values, as Grafana names it.

    `width` is in twenty-fourths of a row. `stacked` sums the series up to a whole.
    """

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: Kind = "timeseries"
    width: int = 12
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; with `by_backend` it has a choice of backends, `$backend` in its queries."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    by_backend: bool = False


def _stat(title: str, unit: str, query: str) -> Panel:
    return Panel(title, unit, ((query, ""),), kind="stat", width=4)


def _lines(title: str, unit: str, *queries: tuple[str, str], stacked: bool = False, width: int = 12) -> Panel:
    return Panel(title, unit, queries, stacked=stacked, width=width)


def _quantiles(title: str, metric: str, where: str = "") -> Panel:
    queries = [
        (f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{where}{_RATE})))", f"p{round(100 * share)}")
        for share in (0.5, 0.95, 0.99)
    ]
    return Panel(title, "s", tuple(queries))


def _by(metric: str, label: str, where: str = "") -> tuple[str, str]:
    return f"sum by ({label}) (rate({metric}{where}{_RATE}))", f"{{{{{label}}}}}"


def _each(metric: str, legend: str = "{{process}} {{instance}}") -> tuple[str, str]:
    return metric, legend


OVERVIEW = Dashboard(
    "optimizer-overview",
    "Optimizer: overview",
    (
        _stat("Requests", "reqps", f"sum(rate(optimizer_replies_total{_RATE}))"),
        _stat("Answered without a call", "percentunit", "optimizer:answers_without_call:ratio_rate5m"),
        _stat("Failed", "percentunit", "optimizer:failed_replies:ratio_rate5m"),
        _stat("Spent", "currencyUSD", "sum(increase(optimizer_cost_usd_total[$__range]))"),
        _stat("Saved", "currencyUSD", "sum(increase(optimizer_saved_usd_total[$__range]))"),
        _stat("Alerts", "short", 'count(ALERTS{alertname=~"Optimizer.*", alertstate="firing"}) or vector(0)'),
        _lines(
            "Answers by where they were", "reqps", _by("optimizer_replies_total", "source", '{code="ok"}'), stacked=True
        ),
        _lines("Errors by code", "reqps", _by("optimizer_replies_total", "code", '{code!="ok"}'), stacked=True),
        _quantiles("Time to an answer", _REQUESTS),
        _lines(
            "Time to an answer, p95 by where it was",
            "s",
            (
                f"histogram_quantile(0.95, sum by (le, source) (rate({_REQUESTS}_bucket{_RATE})))",
                "{{source}}",
            ),
        ),
        _lines("Messages in queues", "short", ("max by (queue) (optimizer_queue_messages)", "{{queue}}")),
        _lines(
            "Requests, by what became of them",
            "reqps",
            _by("optimizer_coordinator_requests_total", "result"),
            stacked=True,
        ),
        _lines(
            "Dead letters",
            "short",
            ("sum by (why) (increase(optimizer_coordinator_dead_letters_total[$__rate_interval]))", "{{why}}"),
        ),
        _lines("Alerts of the recorder", "short", ("sum by (name) (optimizer_alerts_open)", "{{name}}"), stacked=True),
        _lines("Notices of alerts", "short", _by("optimizer_alert_notices_total", "result")),
        _lines("Waiting for a quota or a turn", "short", ("sum(optimizer_coordinator_gate_waiting)", "requests")),
    ),
)

_B = '{backend=~"$backend"}'
BACKENDS = Dashboard(
    "optimizer-backends",
    "Optimizer: backends",
    (
        _lines("Budget used", "percentunit", (f"optimizer:budget_used:ratio{_B}", "{{backend}} {{limit}}")),
        _lines("Live workers", "short", (f"max by (backend) (optimizer_backend_workers{_B})", "{{backend}}")),
        _lines(
            "Breaker open",
            "bool",
            ('max by (backend) (optimizer_backend_breaker_state{backend=~"$backend", state="open"})', "{{backend}}"),
        ),
        _lines(
            "Blocked or paused",
            "s",
            (f"max by (backend) (optimizer_backend_blocked_seconds{_B})", "{{backend}} blocked for"),
            (f"max by (backend) (optimizer_backend_paused{_B}) > 0", "{{backend}} paused (1)"),
        ),
        _lines("Calls by outcome", "reqps", _by("optimizer_calls_total", "outcome", _B), stacked=True),
        _lines("Calls by backend", "reqps", _by("optimizer_calls_total", "backend", _B), stacked=True),
        _quantiles("Time of calls", "optimizer_call_duration_seconds", _B),
        _quantiles("Wait before a call", "optimizer_queue_wait_seconds", _B),
        _lines("Tokens", "short", _by("optimizer_tokens_total", "direction", _B)),
        _lines(
            "Cost per hour",
            "currencyUSD",
            (f"sum by (backend) (rate(optimizer_cost_usd_total{_B}{_RATE})) * 3600", "{{backend}}"),
        ),
        _lines(
            "Calls held and running",
            "short",
            (f"sum by (backend) (optimizer_held_calls{_B})", "{{backend}} held"),
            (f"sum by (backend) (optimizer_running_calls{_B})", "{{backend}} running"),
        ),
        _lines(
            "Retried, moved, told early",
            "reqps",
            (f"sum by (where) (rate(optimizer_retries_total{_B}{_RATE}))", "retried {{where}}"),
            (f"sum(rate(optimizer_moved_calls_total{_B}{_RATE}))", "moved"),
            (f"sum(rate(optimizer_told_early_total{_B}{_RATE}))", "told early"),
            (f"sum(rate(optimizer_condemned_calls_total{_B}{_RATE}))", "condemned"),
        ),
        _lines("Waits for budget, by limit", "reqps", _by("optimizer_budget_waits_total", "limit", _B)),
        _lines(
            "Answers without a known price",
            "reqps",
            (f"sum by (backend) (rate(optimizer_unpriced_calls_total{_B}{_RATE}))", "{{backend}}"),
        ),
    ),
    by_backend=True,
)

PROCESSES = Dashboard(
    "optimizer-processes",
    "Optimizer: processes",
    (
        _lines("Gets work from RabbitMQ", "bool", _each("optimizer_rabbitmq_up")),
        _lines("Has Redis", "bool", _each("optimizer_redis_up")),
        _lines(
            "RabbitMQ: connections lost, self-checks failed",
            "short",
            (
                "sum by (instance) (increase(optimizer_rabbitmq_sessions_lost_total[$__rate_interval]))",
                "{{instance}} lost",
            ),
            (
                "sum by (instance) (increase(optimizer_self_check_failures_total[$__rate_interval]))",
                "{{instance}} failed",
            ),
        ),
        _lines("RabbitMQ takes no messages", "bool", _each("optimizer_rabbitmq_blocked")),
        _lines("Events told", "reqps", _by("optimizer_events_published_total", "type")),
        _lines(
            "Events that did not arrive",
            "short",
            (f"sum(increase(optimizer_events_lost_total{_RATE}))", "not told"),
            (f"sum(increase(optimizer_recorder_events_lost_total{_RATE}))", "lost on the way"),
            (f"sum(increase(optimizer_recorder_events_refused_total{_RATE}))", "not understood"),
        ),
        _lines(
            "Events into the history",
            "reqps",
            (f"sum(rate(optimizer_recorder_events_recorded_total{_RATE}))", "events"),
        ),
        _lines("How far the history is behind", "s", ("max(optimizer_recorder_lag_seconds)", "behind")),
        _quantiles("Time to admit a batch of requests", "optimizer_coordinator_admission_seconds"),
        _lines("Events that wait for the recorder", "short", ("max(optimizer_recorder_waiting)", "events")),
        _quantiles("Time to write a batch into the history", "optimizer_recorder_batch_seconds"),
        _lines(
            "Processor",
            "percentunit",
            (f'rate(process_cpu_seconds_total{{job="optimizer"}}{_RATE})', "{{process}} {{instance}}"),
        ),
        _lines("Memory", "bytes", _each('process_resident_memory_bytes{job="optimizer"}')),
        _lines("Open files", "short", _each('process_open_fds{job="optimizer"}')),
        _lines(
            "Running versions",
            "short",
            ("count by (process, version) (optimizer_build_info)", "{{process}} {{version}}"),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, BACKENDS, PROCESSES)
