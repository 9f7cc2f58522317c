"""Levels as a table for a terminal. Pure: a block for each backend, a row for each limit."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer_ops.budgets.rows import Row, changes, estimates, rows_of
from optimizer_ops.budgets.state import states
from optimizer_ops.formatting.units import count_of
from optimizer_state.levels import Levels

WIDEST = 100
_NAME_MOST = 32
_NUMBER_WIDTH = 10
_FREES_WIDTH = 11
_HEADS = ("used", "reserved", "left", "of")
_NARROWEST_BAR = 6
_BESIDE_NAMES = 4 + len(_HEADS) * _NUMBER_WIDTH + _FREES_WIDTH
_TIGHT = 0.85
_DIM = "bright_black"


def table(all_levels: Sequence[Levels], width: int) -> RenderableType:
    """What to print on a terminal that is so wide."""
    inner = min(width, WIDEST) - 2
    longest = max((len(row.name) for levels in all_levels for row in rows_of(levels)), default=0)
    names = min(longest, _NAME_MOST, inner - _BESIDE_NAMES - _NARROWEST_BAR)
    parts: list[RenderableType] = [_heads(names, inner)]
    for levels in all_levels:
        parts += [
            _heading(levels, inner),
            _limits(rows_of(levels), names, inner),
            *(_note(f"set: {words}", "magenta") for words in changes(levels)),
            *(_note(f"≈ {words}", _DIM) for words in estimates(levels)),
            Text(),
        ]
    return Padding(Group(*parts[:-1]), (0, 1))


def _note(words: str, style: str) -> Text:
    return Text(f"  {words}", style=style, no_wrap=True, overflow="ellipsis")


def _grid(names: int, inner: int) -> Table:
    grid = Table.grid(padding=0)
    grid.add_column(width=names + 4, no_wrap=True)
    grid.add_column(width=inner - names - _BESIDE_NAMES, no_wrap=True)
    for _ in _HEADS:
        grid.add_column(width=_NUMBER_WIDTH, justify="right", no_wrap=True)
    grid.add_column(width=_FREES_WIDTH, justify="right", no_wrap=True)
    return grid


def _heads(names: int, inner: int) -> Table:
    grid = _grid(names, inner)
    grid.add_row("", "", *(Text(head, style=_DIM) for head in (*_HEADS, "frees in")))
    return grid


def _heading(levels: Levels, inner: int) -> Table:
    workers = count_of(levels.workers, "worker") if levels.workers else ""
    line = Table.grid(padding=0)
    line.add_column(width=inner - len(workers))
    line.add_column(width=len(workers), no_wrap=True)
    state = Text.assemble((levels.backend, "bold"), "  ")
    for number, (words, colour) in enumerate(states(levels)):
        state.append(", " if number else "").append(words, style=colour)
    line.add_row(state, Text(workers, style=_DIM))
    return line


def _limits(rows: Sequence[Row], names: int, inner: int) -> Table:
    grid = _grid(names, inner)
    for row in rows:
        bar = _bar(row, inner - names - _BESIDE_NAMES)
        left = Text(_short(row.left), style="bold red" if row.over else "")
        count = Text(_short(row.count), style="magenta" if row.is_set else "")
        numbers = (Text(_short(row.used)), Text(_short(row.reserved)), left, count, Text(row.frees, style=_DIM))
        name = row.name if len(row.name) <= names else f"{row.name[: names - 1]}…"
        grid.add_row(Text(f"  {name}"), bar, *numbers)
    return grid


def _short(number: str) -> str:
    """The number if its column is wide enough, else in millions."""
    if len(number) < _NUMBER_WIDTH or "$" in number:
        return number
    return f"{int(number.replace(',', '')) / 1e6:,.1f}M"


def _bar(row: Row, width: int) -> Text:
    """What is used, and lighter what calls in flight hold."""
    used = round(row.used_share * width)
    held = max(round((row.used_share + row.reserved_share) * width) - used, 1 if row.reserved_share else 0)
    full = row.used_share + row.reserved_share
    colour = "red" if row.over else "yellow" if full >= _TIGHT else "green"
    used, held = min(used, width), min(held, max(0, width - used))
    return Text.assemble(("━" * used, colour), ("╌" * held, colour), ("┈" * (width - used - held), "grey27"))
