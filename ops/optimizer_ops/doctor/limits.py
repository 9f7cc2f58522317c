"""Limits and quotas that cannot be meant. Pure."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from optimizer_config.model import Config, Limit, Quotas
from optimizer_ops.doctor.finding import Area, Finding
from optimizer_ops.live.status import LiveStatus

_NARROWER = (("agent", "tenant"), ("agent", "fleet"), ("tenant", "fleet"))


def examine(config: Config, live: LiveStatus) -> list[Finding]:
    """What is found in the limits of the backends in use, and in the quotas."""
    area = Area("limits")
    for status in live.backends:
        backend = config.backends[status.name]
        for words in contradictions(backend.limits):
            area.warning(f"{backend.name}: {words}.", "Correct limits in optimizer.toml; optimizer budgets shows them.")
        if not backend.limits and backend.kind != "local":
            area.warning(
                f"{backend.name} has no limits: the fleet learns them by being refused.",
                f"Write what its account may do: [backends.{backend.name}] limits.",
            )
        if backend.kind == "paid" and not any(limit.dimension == "usd" for limit in backend.limits):
            area.warning(
                f"{backend.name} costs money and has no limit of money.",
                f"[backends.{backend.name}] limits = {{ …, usd_per_day = 5 }}",
            )
        for limit in status.limits:
            if limit.count != limit.configured:
                area.warning(
                    f"{backend.name}: {limit.name} is set to {limit.count:g} by hand, not {limit.configured:g}.",
                    f"optimizer budget reset {backend.name} lets the configuration hold again.",
                )
    for words in _quotas(config.quotas):
        area.warning(f"[quotas] {words}.", "Correct [quotas] in optimizer.toml.")
    if not area.findings:
        area.ok("Limits and quotas are plausible.")
    return area.findings


def contradictions(limits: Sequence[Limit]) -> list[str]:
    """Limits of which the shorter window allows more than the longer one."""
    pairs = [sorted(pair, key=lambda limit: limit.per_s) for pair in combinations(limits, 2) if _alike(*pair)]
    return [
        f"{short.name} allows {short.count:,}, though {long.name} allows only {long.count:,} in a longer time"
        for short, long in pairs
        if short.per_s < long.per_s and short.count > long.count
    ]


def _alike(one: Limit, other: Limit) -> bool:
    return one.dimension == other.dimension and one.models == other.models


def _quotas(quotas: Quotas) -> Iterable[str]:
    for part, whole in _NARROWER:
        wider = {limit.name: limit.count for limit in quotas.limits.get(whole, ())}  # type: ignore[call-overload]
        for limit in quotas.limits.get(part, ()):  # type: ignore[call-overload]
            if limit.count > wider.get(limit.name, limit.count):
                count = f"{limit.name} = {limit.count:,}"
                yield f"{part} may use {count}, more than the whole {whole} ({wider[limit.name]:,})"
