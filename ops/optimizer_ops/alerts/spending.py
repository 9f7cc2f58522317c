"""Money that is spent against budgets by the calendar. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from optimizer_config.alert_settings import SpendBudget, Spender
from optimizer_config.model import Config, Limit, Reset
from optimizer_ops.alerts.finding import Finding
from optimizer_ops.alerts.kinds import SPEND, Severity
from optimizer_ops.formatting.units import dollars
from optimizer_state.periods import period

# How much of a budget is worth telling. Where the last is reached nothing more severe can come.
STEPS: tuple[tuple[float, Severity], ...] = ((0.5, "info"), (0.8, "warning"), (1.0, "critical"))
_NANO = 1e9

# What was spent: by spender and the second in which its period began, then by name ("" is the fleet), in nano dollars.
Spent = Mapping[tuple[Spender, int], Mapping[str, int]]


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent in each period. Without a `name` it is for each tenant, agent or backend without its own."""

    spender: Spender
    name: str
    micro_usd: int
    reset: Reset

    def began(self, now: float) -> int:
        """The Unix second in which the period began that holds `now`."""
        return period(self.reset, now * 1000)[0] // 1000


def budgets_of(config: Config) -> list[Budget]:
    """The budgets of `[alerts.budgets]`, and the limits of money by the calendar, where no budget is written."""
    found = {_key(budget): budget for budget in _limits(config)}
    for written in config.alerts.budgets:
        budget = _budget(written)
        found[_key(budget)] = budget
    return list(found.values())


def spending(budgets: list[Budget], spent: Spent, now: float) -> Iterator[Finding]:
    """How much of each budget is spent."""
    own = {(budget.spender, budget.name, budget.reset.every) for budget in budgets if budget.name}
    for budget in budgets:
        by_name = spent.get((budget.spender, budget.began(now)), {})
        if budget.name or budget.spender == "fleet":
            yield _finding(budget, budget.name, by_name.get(budget.name, 0))
            continue
        for name, nano in by_name.items():
            if name and (budget.spender, name, budget.reset.every) not in own:
                yield _finding(budget, name, nano)


def _finding(budget: Budget, name: str, nano: int) -> Finding:
    usd, whole = nano / _NANO, budget.micro_usd / 1e6
    share = usd / whole
    reached = [severity for step, severity in STEPS if share >= step]
    who = f"{budget.spender} {name}".rstrip()
    return Finding(
        name=SPEND,
        subject=f"{who} {budget.reset.every}",
        state="bad" if reached else "good",
        severity=reached[-1] if reached else "info",
        message=f"The {who} spent {100 * share:.0f} % of its budget of this {budget.reset.every}: "
        f"{dollars(usd)} of {dollars(whole)}.",
        value=usd,
        threshold=next(
            (step * whole for step, severity in reversed(STEPS) if severity in reached), STEPS[0][0] * whole
        ),
        # Money does not come back: it is over when the period is.
        for_s=0.0,
        clear_s=0.0,
    )


def _budget(written: SpendBudget) -> Budget:
    return Budget(
        spender=written.spender, name=written.name, micro_usd=written.micro_usd, reset=Reset(every=written.every)
    )


def _key(budget: Budget) -> tuple[str, str, str]:
    return budget.spender, budget.name, budget.reset.every


def _limits(config: Config) -> Iterator[Budget]:
    for subject, limits in config.quotas.limits.items():
        yield from _money(subject, "", limits)
    for agent, limits in config.quotas.agents.items():
        yield from _money("agent", agent, limits)
    for name, backend in config.backends.items():
        yield from _money("backend", name, backend.limits)


def _money(spender: Spender, name: str, limits: tuple[Limit, ...]) -> Iterator[Budget]:
    for limit in limits:
        if limit.dimension == "usd" and limit.reset is not None and not limit.models:
            yield Budget(spender=spender, name=name, micro_usd=limit.count, reset=limit.reset)
