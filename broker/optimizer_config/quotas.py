"""Quotas of agents, tenants and the fleet, and the tiers of agents, as people write them."""

from typing import get_args

from optimizer_config.limits import read_limits
from optimizer_config.model import TIERS_RPM, Limit, Quotas, Subject, Tier
from optimizer_config.reader import Table

SUBJECTS: tuple[Subject, ...] = get_args(Subject)


def read_quotas(root: Table) -> Quotas:
    """`[quotas]` and `[agents]`.

    :raises ConfigError: naming the place.
    """
    table = root.table("quotas")
    over = table.choice("over", ("wait", "reject")) or "wait"
    limits = {subject: _limits(table, subject) for subject in SUBJECTS}
    table.finish()
    agents = root.table("agents")
    quotas: dict[str, tuple[Limit, ...]] = {}
    tiers: dict[str, Tier] = {}
    for name in agents.unread():
        tier, own = _agent(agents.table(name))
        if tier:
            tiers[name] = tier
        if own:
            quotas[name] = own
    written = {subject: each for subject, each in limits.items() if each}
    return Quotas(over, written, quotas, tiers)  # type: ignore[arg-type]


def _limits(table: Table, key: str) -> tuple[Limit, ...]:
    limits, concurrency = read_limits(table, key)
    if concurrency is not None:
        table.fail(key, "cannot limit concurrency; write a rate, for example { rpm = 30 }.")
    if any(limit.models for limit in limits):
        table.fail(key, "cannot be narrowed to models; which one serves a request is decided later.")
    return limits


def _agent(table: Table) -> tuple[Tier | None, tuple[Limit, ...]]:
    """The tier and the quota of one agent. A tier is a rate of requests too, unless another one is written."""
    tier: Tier | None = table.choice("tier", get_args(Tier))  # type: ignore[assignment]
    limits = _limits(table, "limits")
    table.finish()
    if tier and not any(limit.name == "rpm" for limit in limits):
        limits = (Limit("rpm", "requests", TIERS_RPM[tier], 60.0), *limits)
    return tier, limits
