"""Rows under heads, as wide as the terminal: what matters less is left out first. In a pipe nothing is. Pure."""

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.text import Text

_GAP = "  "
_DIM = "bright_black"


class Head(msgspec.Struct, frozen=True):
    """A column: those with the highest `rank` are left out first, 0 never; one with `least` may be cut to that."""

    name: str
    rank: int = 0
    right: bool = False
    least: int = 0
    style: str = ""


Cell = str | Text


def grid(
    heads: Sequence[Head], rows: Sequence[Sequence[Cell]], width: int | None, *, last_bold: bool = False
) -> list[Text]:
    """The lines of a table that is at most so wide, as far as that goes; `width` None: as wide as it is."""
    cells = [[_safe(cell) for cell in row] for row in rows]
    widths = [
        max([len(head.name), *(cell_len(row[column].plain) for row in cells)]) for column, head in enumerate(heads)
    ]
    shown = _fitting(heads, widths, width)
    _soften(heads, widths, shown, width)
    lines = [_line([Text(heads[each].name, style=_DIM) for each in shown], heads, widths, shown)]
    for number, row in enumerate(cells):
        line = _line([row[each] for each in shown], heads, widths, shown)
        if last_bold and number == len(cells) - 1:
            line.stylize("bold")
        lines.append(line)
    return lines


def _safe(cell: Cell) -> Text:
    """Names come from outside: nothing in them may steer the terminal."""
    if isinstance(cell, Text):
        return cell
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in cell))


def _needs(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[each] for each in shown) + len(_GAP) * (len(shown) - 1)


def _fitting(heads: Sequence[Head], widths: Sequence[int], width: int | None) -> list[int]:
    shown = list(range(len(heads)))
    while width is not None:
        softened = [min(each, head.least or each) for each, head in zip(widths, heads, strict=True)]
        least = max((heads[each].rank, each) for each in shown)
        if _needs(softened, shown) <= width or not least[0]:
            break
        shown.remove(least[1])
    return shown


def _soften(heads: Sequence[Head], widths: list[int], shown: Sequence[int], width: int | None) -> None:
    """Cut the widest of those that may be cut, until all fits."""
    while width is not None and _needs(widths, shown) > width:
        soft = [each for each in shown if 0 < heads[each].least < widths[each]]
        if not soft:
            return
        widths[max(soft, key=lambda each: widths[each])] -= 1


def _line(cells: Sequence[Text], heads: Sequence[Head], widths: Sequence[int], shown: Sequence[int]) -> Text:
    line = Text()
    for number, (cell, each) in enumerate(zip(cells, shown, strict=True)):
        head, width = heads[each], widths[each]
        style = cell.style or head.style
        plain = cell.plain
        if cell_len(plain) > width:
            plain = set_cell_size(plain, width - 1) + "…"
        blank = " " * (width - cell_len(plain))
        line.append(_GAP if number else "")
        line.append(blank if head.right else "")
        line.append(plain, style=style)
        line.append("" if head.right or number == len(cells) - 1 else blank)
    return line
