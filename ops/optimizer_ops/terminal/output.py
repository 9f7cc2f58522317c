"""Prints lines and JSON, to a terminal or a pipe."""

import sys
from collections.abc import Iterable

import msgspec
from rich.console import Console
from rich.text import Text


def screen() -> tuple[Console, int | None]:
    """Where to print, and how wide that is; None: not a terminal, as wide as needed."""
    console = Console(highlight=False)
    return console, console.width if console.is_terminal else None


def print_lines(console: Console, lines: Iterable[Text | str]) -> None:
    """Print lines; only sentences are wrapped."""
    for line in lines:
        if isinstance(line, str) and console.is_terminal:
            console.print(Text(line))
        elif isinstance(line, Text) and console.is_terminal:
            console.print(line, no_wrap=True, overflow="ignore", crop=False)
        else:
            print((line.plain if isinstance(line, Text) else line).rstrip())
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Print one value as one line of JSON, at once."""
    print(msgspec.json.encode(value).decode(), flush=True)
