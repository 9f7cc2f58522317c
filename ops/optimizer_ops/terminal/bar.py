"""A share as a bar of cells. Pure."""

from rich.text import Text


def bar(share: float, width: int, colour: str) -> Text:
    """A bar of so many cells, in halves."""
    halves = round(max(0.0, min(1.0, share)) * width * 2)
    filled = "━" * (halves // 2) + "╸" * (halves % 2)
    return Text.assemble((filled, colour), ("┈" * (width - len(filled)), "grey27"))
