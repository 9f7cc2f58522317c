"""The alerts that there are, and how severe they are. `docs/operations.md` says more of them."""

from typing import Literal

from optimizer_ops.live.advice import WHAT_TO_DO

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

DEGRADED = "optimizer.degraded"
RATE_LIMIT = "optimizer.rate_limit"
BACKEND_DOWN = "optimizer.backend_down"
SPEND = "optimizer.budget.spend"
DEAD = "optimizer.dead"
LOST = "optimizer.events_lost"
SERVICE_DOWN = "optimizer.service_down"

NAMES = tuple(WHAT_TO_DO)


def rank(severity: str) -> int:
    """How severe a severity is; the least is 0."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0
