"""`optimizer costs`: who or what costs how much, and what was saved."""

import time
from collections.abc import Sequence

import msgspec
from rich.text import Text

from optimizer_ops.formatting.moments import day
from optimizer_ops.formatting.sums import cost, saved
from optimizer_ops.formatting.units import milliseconds, percent
from optimizer_ops.history.reader import History
from optimizer_ops.history.spans import Span
from optimizer_ops.history.views import Dimension, Share, Totals
from optimizer_ops.reports.money import footnotes, headline
from optimizer_ops.terminal.grid import Cell, Head, grid
from optimizer_ops.terminal.output import print_lines, screen

_NUMBERS = (
    Head("cost", right=True),
    Head("saved", right=True, style="green"),
    Head("requests", right=True),
    Head("hit rate", rank=1, right=True),
    Head("calls", rank=2, right=True),
    Head("tokens in", rank=3, right=True),
    Head("tokens out", rank=3, right=True),
    Head("errors", rank=4, right=True),
    Head("p50", rank=7, right=True),
    Head("p95", rank=6, right=True),
    Head("refused", rank=8, right=True),
    Head("no price", rank=5, right=True),
    Head("no end", rank=5, right=True),
)


def costs(history: History, by: Dimension, since: float, until: float | None, *, as_json: bool) -> int:
    """Print the shares, the most costly first, and the totals."""
    shares, totals = history.shares(by, since, until), history.totals(since, until)
    covered = history.covered(since, until)
    if as_json:
        print(json_of(by, covered, until, shares, totals))
        return 0
    console, width = screen()
    begins = day(covered.since) + ("" if until is None else f" until {day(covered.until)}")
    lines: list[Text | str] = [headline(totals, begins)]
    if shares:
        rows = [_row(each.name or "(none)", each.totals) for each in shares]
        heads = (Head(by, least=24, style="bold"), *_NUMBERS)
        lines += ["", *grid(heads, [*rows, _row("all", totals)], width, last_bold=True)]
    lines += ["", *notes] if (notes := footnotes(totals)) else []
    if covered.since != since:
        lines.append("Single requests of that time are not kept any more: it is counted from the full hour.")
    print_lines(console, lines)
    return 0


def _row(name: str, totals: Totals) -> Sequence[Cell]:
    return (
        name,
        cost(totals),
        saved(totals),
        f"{totals.requests:,}",
        percent(totals.hit_rate),
        f"{totals.calls:,}",
        f"{totals.input_tokens:,}",
        f"{totals.output_tokens:,}",
        percent(totals.error_rate),
        milliseconds(totals.p50_ms),
        milliseconds(totals.p95_ms),
        f"{totals.throttled:,}",
        f"{totals.unpriced:,}",
        f"{totals.calls_unknown:,}",
    )


def json_of(by: str, covered: Span, until: float | None, shares: Sequence[Share], totals: Totals) -> str:
    """One JSON object; with unpriced calls or calls without an end the money is a lower bound."""
    end = time.time() if until is None else covered.until
    return msgspec.json.encode(
        {"by": by, "since": covered.since, "until": end, "shares": [_plain(each) for each in shares]}
        | {"totals": described(totals)}
    ).decode()


def _plain(each: Share) -> dict[str, object]:
    return {"name": each.name, **described(each.totals)}


def described(totals: Totals) -> dict[str, object]:
    """Sums with what follows from them."""
    rates = {"saved_calls": totals.saved_calls, "hit_rate": totals.hit_rate, "error_rate": totals.error_rate}
    return {**msgspec.to_builtins(totals), **rates}
