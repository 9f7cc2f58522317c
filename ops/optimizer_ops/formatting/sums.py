"""Sums of money, as honest as they are known. Pure."""

from typing import Protocol

from optimizer_ops.formatting.units import dollars


class Sums(Protocol):
    """What was paid and saved, and how much of it nobody knows: `Totals` of the history."""

    @property
    def cost_usd(self) -> float: ...
    @property
    def saved_usd(self) -> float: ...
    @property
    def unpriced(self) -> int: ...
    @property
    def saved_unpriced(self) -> int: ...
    @property
    def calls_answered(self) -> int: ...
    @property
    def calls_unknown(self) -> int: ...


def cost(sums: Sums) -> str:
    """`$1.23`; `≥ $1.23` if the price or the use of some calls is not known, `unknown` if that of all is not."""
    doubtful = sums.unpriced + sums.calls_unknown
    if doubtful and sums.calls_answered - sums.unpriced <= 0 and not sums.cost_usd:
        return "unknown"
    return f"≥ {dollars(sums.cost_usd)}" if doubtful else dollars(sums.cost_usd)


def saved(sums: Sums) -> str:
    """As `cost`: what an answer without a price saves is not known."""
    if sums.saved_unpriced and not sums.saved_usd:
        return "unknown"
    return f"≥ {dollars(sums.saved_usd)}" if sums.saved_unpriced else dollars(sums.saved_usd)
