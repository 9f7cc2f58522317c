"""What sums cost and saved, in sentences. Pure."""

from optimizer_ops.formatting.sums import cost, saved
from optimizer_ops.formatting.units import percent
from optimizer_ops.history.views import Totals


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
