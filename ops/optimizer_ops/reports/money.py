"""What sums cost and saved, as honest as they are known. Pure."""

from optimizer_ops.formatting.units import dollars, percent
from optimizer_ops.history.views import Totals


def cost(totals: Totals) -> str:
    """`$1.23`; `≥ $1.23` if the price or the use of some calls is not known, `unknown` if that of all is not."""
    doubtful = totals.unpriced + totals.calls_unknown
    if doubtful and totals.calls_answered - totals.unpriced <= 0 and not totals.cost_usd:
        return "unknown"
    return f"≥ {dollars(totals.cost_usd)}" if doubtful else dollars(totals.cost_usd)


def saved(totals: Totals) -> str:
    """As `cost`: what an answer without a price saves is not known."""
    if totals.saved_unpriced and not totals.saved_usd:
        return "unknown"
    return f"≥ {dollars(totals.saved_usd)}" if totals.saved_unpriced else dollars(totals.saved_usd)


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def headline(totals: Totals, since: str) -> str:
    """One sentence: what was asked, saved and paid."""
    if not totals.requests and not totals.calls:
        return f"Nothing was asked since {since}."
    return (
        f"Since {since}: {_many(totals.requests, 'request')}, of which {totals.saved_calls:,} "
        f"({percent(totals.hit_rate)}) needed no call of their own. Saved: {saved(totals)} and "
        f"{_many(totals.saved_calls, 'call')}. Spent: {cost(totals)} for {_many(totals.calls, 'call')}."
    )


def footnotes(totals: Totals) -> list[str]:
    """What is missing from the sums."""
    notes = []
    if totals.unpriced:
        notes.append(f"{_many(totals.unpriced, 'answered call')} without a known price: their cost is not in the sums.")
    if totals.saved_unpriced:
        answers = _many(totals.saved_unpriced, "saved call")
        notes.append(f"{answers} without a known price: what they saved is not in the sums.")
    if totals.calls_unknown:
        notes.append(f"{_many(totals.calls_unknown, 'call')} without an end, running or lost: their use is unknown.")
    return notes
