"""`optimizer trace`: one request's whole way with times, and why it took so long."""

import sys

from rich.text import Text

from optimizer_ops.formatting.moments import day
from optimizer_ops.formatting.units import milliseconds
from optimizer_ops.history.reader import History
from optimizer_ops.history.trace_reader import SeveralRequests
from optimizer_ops.history.views import Trace
from optimizer_ops.terminal.grid import Head, grid
from optimizer_ops.terminal.output import print_json, print_lines, screen
from optimizer_service.exit_codes import EXIT_FAILED

_HEADS = (Head("after", right=True), Head("what"), Head("where", least=12, style="cyan"), Head("detail"))
_LEAST_DETAIL = 30
_COLOURS = {"answered": "green", "open": "yellow", "unknown": "yellow"}


def trace(history: History, request_id: str | None, since: float, *, slowest: bool, as_json: bool) -> int:
    """Print the way of this request; without an id that of the slowest since then, or of the latest."""
    if request_id is None:
        found_rows = history.requests(since, limit=1, slowest=slowest)
        if not found_rows:
            print("Nothing was asked in that time.", file=sys.stderr)
            return EXIT_FAILED
        request_id = found_rows[0].id
    try:
        found = history.trace(request_id)
    except SeveralRequests as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_FAILED
    if found is None:
        print(
            f"optimizer: There is no request {request_id} in the history: it is older than [history] keep_days, "
            "it was not recorded yet, or another deployment's. See optimizer calls",
            file=sys.stderr,
        )
        return EXIT_FAILED
    if as_json:
        print_json(found)
        return 0
    console, width = screen()
    print_lines(console, page(found, width))
    return 0


def page(found: Trace, width: int | None) -> list[Text | str]:
    """The whole way as lines."""
    request = found.request
    who = f"{request.agent} ({request.tenant}), {request.op}, {request.task or 'no task'}, {request.priority}"
    return [
        Text.assemble(("request ", "bright_black"), (request.id, "bold cyan")),
        Text.assemble((f"{day(request.asked)}  {who}  ", "bright_black"), _outcome(found)),
        *([Text(f"fingerprint {request.fingerprint}", style="bright_black")] if request.fingerprint else []),
        "",
        found.verdict,
        "",
        *steps(found, width),
    ]


def _outcome(found: Trace) -> tuple[str, str]:
    return found.request.outcome, _COLOURS.get(found.request.outcome, "red")


def steps(found: Trace, width: int | None) -> list[Text]:
    """A line for each step; on a terminal a long detail goes on in further lines."""
    rows = [(_after(step.after_ms), step.what, step.where, step.detail) for step in found.steps]
    if width is None:
        return grid(_HEADS, rows, None)
    beside = max(line.cell_len for line in grid(_HEADS[:3], [row[:3] for row in rows], None)) + 2
    folded: list[tuple[str, str, str, str]] = []
    for after, what, where, detail in rows:
        first, *more = _folded(detail, max(_LEAST_DETAIL, width - beside))
        folded += [(after, what, where, first), *(("", "", "", each) for each in more)]
    return grid(_HEADS, folded, width)


def _folded(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _after(ms: float) -> str:
    return f"-{milliseconds(-ms)}" if ms < 0 else f"+{milliseconds(ms)}"
