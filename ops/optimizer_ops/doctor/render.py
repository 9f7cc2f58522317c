"""Findings as a person reads them. Pure."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer_ops.doctor.finding import Finding, Verdict
from optimizer_ops.formatting.units import count_of

WIDEST = 132
_COLOURS: dict[Verdict, str] = {"ok": "green", "warning": "yellow", "failed": "bold red"}
_DIM = "bright_black"


def shown(findings: Sequence[Finding], width: int) -> RenderableType:
    """A line for each finding, with what to do below it where something is to be done; and the sum of it all."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=13, no_wrap=True)
    grid.add_column(width=7, no_wrap=True)
    grid.add_column()
    area = ""
    for finding in findings:
        name = "" if finding.area == area else finding.area
        area = finding.area
        colour = _COLOURS[finding.verdict]
        what = Text(finding.what, style="" if finding.verdict == "ok" else colour)
        grid.add_row(Text(name, style=_DIM), Text(finding.verdict, style=colour), what)
        if finding.what_to_do:
            grid.add_row("", "", Text(f"→ {finding.what_to_do}"))
    return Padding(Group(grid, Text(), _sum(findings)), (0, max(1, width - WIDEST), 0, 1))


def _sum(findings: Sequence[Finding]) -> Text:
    failed = sum(finding.verdict == "failed" for finding in findings)
    warned = sum(finding.verdict == "warning" for finding in findings)
    if not failed and not warned:
        return Text("Everything is as it should be.", style="green")
    words = f"{count_of(warned, 'warning')}, {failed or 'nothing'} failed."
    return Text(words, style=_COLOURS["failed" if failed else "warning"])
