"""The metrics of alerts."""

from prometheus_client import Counter, Gauge

OPEN = Gauge("optimizer_alerts_open", "Alerts that are open.", ["name", "severity"])
NOTICES = Counter(
    "optimizer_alert_notices",
    "Notices of alerts, by sink and whether it took them: told, failed, given_up.",
    ["sink", "result"],
)
