"""The registry of agents: each that was ever seen, what it asks for, and how it fares."""

from collections import Counter, defaultdict
from typing import Literal

import sqlalchemy as sa

from optimizer_ops.history.latencies import Buckets, buckets_by
from optimizer_ops.history.spans import Span, hours_of
from optimizer_ops.history.sums import hour_of
from optimizer_ops.history.tables import agents
from optimizer_ops.history.totals import Sums, sums_by, totals_of
from optimizer_ops.history.views import AgentProfile

Name = tuple[str, str]
Health = Literal["well", "failing", "silent"]

# Many agents work once a day: not heard of for longer than that is silent.
HEALTH_S = 24 * 3_600
FAILING_RATE = 0.1


def profiles(connection: sa.Connection, span: Span, now: float) -> list[AgentProfile]:
    """Every agent ever seen, the one seen last first; sums of the span."""
    totals: defaultdict[Name, Sums] = defaultdict(Counter)
    tasks: defaultdict[Name, Counter[str]] = defaultdict(Counter)
    backends: defaultdict[Name, Counter[str]] = defaultdict(Counter)
    for (tenant, agent, task, backend), sums in sums_by(
        connection, span, ("tenant", "agent", "task", "backend"), {}
    ).items():
        name = tenant, agent
        totals[name].update(sums)
        tasks[name][task] += sums["requests"]
        backends[name][backend] += sums["requests"]
    health = sums_by(connection, hours_of(hour_of(now - HEALTH_S), now), ("tenant", "agent"), {})
    buckets = buckets_by(connection, span, ("agent",), {}) or {}
    found = connection.execute(sa.select(agents).order_by(agents.c.last_seen.desc())).mappings().all()
    # Durations are known by the agent's name alone, which two tenants may use.
    shared = {name for name, number in Counter(row["agent"] for row in found).items() if number > 1}
    return [
        AgentProfile(
            **{
                field: row[field]
                for field in ("agent", "tenant", "first_seen", "last_seen", "last_error", "last_error_code")
            },
            totals=totals_of(totals[name], _own(buckets, row["agent"], shared)),
            tasks=_most_first(tasks[name]),
            backends=_most_first(backends[name]),
            health=health_of(row["last_seen"], health.get(name, Counter()), now),
        )
        for row in found
        if (name := (row["tenant"], row["agent"]))
    ]


def health_of(last_seen: float, lately: Sums, now: float) -> Health:
    """`failing`: a tenth of what ended within the last day failed; `silent`: nothing was heard for a day."""
    if now - last_seen > HEALTH_S:
        return "silent"
    ended = lately["answered"] + lately["errors"]
    return "failing" if ended and lately["errors"] / ended >= FAILING_RATE else "well"


def _own(buckets: dict[tuple[str, ...], Buckets], agent: str, shared: set[str]) -> Buckets | None:
    return None if agent in shared else buckets.get((agent,), Counter())


def _most_first(numbers: Counter[str]) -> dict[str, int]:
    """What is not known (the empty name) is left out."""
    return {name: number for name, number in numbers.most_common() if name and number}
