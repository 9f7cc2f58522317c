"""`optimizer calls`: searches the requests of the history."""

import sys
import time
from collections.abc import Mapping, Sequence

from rich.text import Text

from optimizer_ops.formatting.moments import clock
from optimizer_ops.formatting.units import UNKNOWN, dollars, milliseconds
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import RequestRow
from optimizer_ops.terminal.grid import Cell, Head, grid
from optimizer_ops.terminal.output import print_json, print_lines, screen

# A UUIDv7 to behind its milliseconds and twelve random bits.
_SHORT = 18
_WIDE = 120
_FROM = {"cache": "hit", "collapsed": "joined", "backend": "called"}
HEADS = (
    Head("asked"),
    Head("id", style="cyan"),
    Head("agent", rank=1, least=16),
    Head("backend", rank=2, least=10),
    Head("result"),
    Head("took", right=True),
    Head("waited", rank=3, right=True),
    Head("cost", rank=4, right=True),
    Head("saved", rank=6, right=True, style="green"),
    Head("tokens", rank=5, right=True),
    Head("task", rank=7),
    Head("model", rank=8, least=16),
    Head("tenant", rank=9),
)


def calls(
    history: History,
    since: float,
    until: float | None,
    where: Mapping[str, str],
    *,
    limit: int,
    before: str | None,
    slowest: bool,
    failed: bool,
    as_json: bool,
) -> int:
    """Print the requests that fit."""
    found = history.requests(since, until, limit=limit, before=before, slowest=slowest, failed=failed, **where)
    if as_json:
        print_json({"requests": found})
        return 0
    if not found:
        print("No request of that time fits.", file=sys.stderr)
        return 0
    console, width = screen()
    lines: list[Text | str] = list(table(found, width, time.time()))
    if console.is_terminal:
        lines += ["", "The way of one of them: optimizer trace ID"]
        if len(found) == limit:
            lines.append(f"There may be more: --before {found[-1].id}, or --limit")
    print_lines(console, lines)
    return 0


def table(found: Sequence[RequestRow], width: int | None, now: float) -> list[Text]:
    """Requests as lines; ids are whole where there is room, else so much as names one."""
    whole = width is None or width >= _WIDE
    return grid(HEADS, [_row(each, now, whole=whole) for each in found], width)


def _row(each: RequestRow, now: float, *, whole: bool) -> Sequence[Cell]:
    tokens = UNKNOWN if each.input_tokens is None else f"{each.input_tokens:,} + {each.output_tokens or 0:,}"
    return (
        clock(each.asked, now),
        each.id if whole or len(each.id) != len("00000000-0000-7000-8000-000000000000") else each.id[:_SHORT],
        each.agent,
        each.backend or UNKNOWN,
        result(each),
        milliseconds(each.total_ms),
        milliseconds(each.wait_ms),
        _money(each.cost_usd, known=each.source == "backend" and each.outcome == "answered"),
        _money(each.saved_usd, known=each.source in {"cache", "collapsed"} and each.outcome == "answered"),
        tokens,
        each.task or UNKNOWN,
        each.model or UNKNOWN,
        each.tenant,
    )


def result(each: RequestRow) -> Text:
    """Where the answer came from, or why there is none."""
    if each.outcome == "answered":
        return Text(_FROM.get(each.source or "", "answered"), style="green" if each.source != "backend" else "")
    return Text(each.outcome, style="yellow" if each.outcome in {"open", "unknown"} else "red")


def _money(usd: float | None, *, known: bool) -> str:
    if usd is not None:
        return dollars(usd)
    return "unknown" if known else UNKNOWN
