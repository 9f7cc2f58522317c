"""The alerts that there are: their names, and what to do about each. `docs/operations.md` says more of them."""

from typing import Literal

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

DEGRADED = "optimizer.degraded"
RATE_LIMIT = "optimizer.rate_limit"
BACKEND_DOWN = "optimizer.backend_down"
SPEND = "optimizer.budget.spend"
DEAD = "optimizer.dead"
LOST = "optimizer.events_lost"
SERVICE_DOWN = "optimizer.service_down"

# What the operator does first, by the name of the alert.
WHAT_TO_DO: dict[str, str] = {
    DEGRADED: "optimizer status names what is wrong; optimizer calls --failed shows which requests failed, and why.",
    RATE_LIMIT: "optimizer budgets shows what is left; lower the backend's limits, or add another one to its route.",
    BACKEND_DOWN: "optimizer backends says why and until when; its workers' logs say more.",
    SPEND: "optimizer costs --by agent shows who spends; a quota or usd_per_day stops it.",
    DEAD: "optimizer dead list, then optimizer dead show ID.",
    LOST: "The history lacks some events: keep the recorder running, on a disk that is fast enough.",
    SERVICE_DOWN: "optimizer doctor says what is missing and how to bring it back.",
}
NAMES = tuple(WHAT_TO_DO)


def rank(severity: str) -> int:
    """How severe a severity is; the least is 0."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0
