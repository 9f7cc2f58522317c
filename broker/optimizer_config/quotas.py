"""Quotas of agents: read and checked, so that a file written for a later version is judged now."""

from optimizer_config.limits import read_limits
from optimizer_config.model import Limit, Quotas
from optimizer_config.reader import Table

TIERS_RPM = {"free": 5, "basic": 10, "professional": 100, "enterprise": 500}
SUBJECTS = ("fleet", "tenant", "agent")
NOT_ENFORCED = "quotas are not enforced yet: [quotas] and [agents] are checked, but nobody is held to them"


def read_quotas(root: Table) -> tuple[Quotas, tuple[str, ...]]:
    """The quotas of the file, and what must be said about them."""
    written = root.has("quotas") or root.has("agents")
    table = root.table("quotas")
    over = table.choice("over", ("wait", "reject")) or "wait"
    limits = {subject: _limits(table, subject) for subject in SUBJECTS if table.has(subject)}
    for subject in SUBJECTS:
        table.take(subject)
    table.finish()
    agents = root.table("agents")
    of_agents = {name: _agent(agents.table(name)) for name in agents.unread()}
    warnings = (f"{root.file}: {NOT_ENFORCED}.",) if written else ()
    return Quotas(over, limits, of_agents), warnings  # type: ignore[arg-type]


def _limits(table: Table, key: str) -> tuple[Limit, ...]:
    limits, concurrency = read_limits(table, key)
    if concurrency is not None:
        table.fail(key, "cannot limit concurrency; write a rate, for example { rpm = 30 }.")
    return limits


def _agent(table: Table) -> tuple[Limit, ...]:
    tier = table.choice("tier", tuple(TIERS_RPM))
    limits = _limits(table, "limits")
    table.finish()
    return limits or ((Limit("rpm", "requests", TIERS_RPM[tier], 60.0),) if tier else ())
