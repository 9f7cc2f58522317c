"""What an operator does first about each alert. `docs/operations.md` says more of them. Pure."""

# By the name of the alert.
WHAT_TO_DO: dict[str, str] = {
    "optimizer.degraded": (
        "optimizer status names what is wrong; optimizer calls --failed shows which requests failed, and why."
    ),
    "optimizer.rate_limit": (
        "optimizer budgets shows what is left; lower the backend's limits, or add another one to its route."
    ),
    "optimizer.backend_down": "optimizer backends says why and until when; its workers' logs say more.",
    "optimizer.budget.spend": "optimizer costs --by agent shows who spends; a quota or usd_per_day stops it.",
    "optimizer.dead": "optimizer dead list, then optimizer dead show ID.",
    "optimizer.events_lost": "The history lacks some events: keep the recorder running, on a disk that is fast enough.",
    "optimizer.service_down": "optimizer doctor says what is missing and how to bring it back.",
}
_OF_SUBJECTS = {
    ("optimizer.degraded", "p95"): (
        "optimizer calls --slowest, then optimizer trace ID: did it wait, or did the backend take long?"
    ),
    ("optimizer.degraded", "hit_rate"): (
        "optimizer cache stats; was something flushed, or do agents ask with a time or an id in the prompt?"
    ),
}


def what_to_do(alert: str, subject: str) -> str:
    """What to do about an alert of this name and subject; empty if there is none of this name."""
    return _OF_SUBJECTS.get((alert, subject)) or WHAT_TO_DO.get(alert, "")
