"""On which line of a TOML file a key is written. Pure.

The parser of the standard library tells no lines. It is asked statement by statement instead: a statement is complete
with the first line at which it parses.
"""

import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


def lines_of(text: str) -> dict[Path, int]:
    """The line (from 1) of every key and table, by its path. Entries of a list have the line of the first one.

    :raises tomllib.TOMLDecodeError: if this is not TOML.
    """
    tomllib.loads(text)
    found: dict[Path, int] = {}
    table: Path = ()
    for number, statement, values in _statements(text):
        if statement.startswith("["):
            table = _deepest(values)
            found.setdefault(table, number)
        else:
            for path in _paths(values):
                found.setdefault((*table, *path), number)
    return found


def nearest(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a key, or of the nearest table around it that is written."""
    return next((lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in lines), None)


def path_of(place: str) -> Path:
    """The path that an error names: `backends.groq.limits[2].rpm`, with quotes where TOML needs them."""
    words: list[str] = []
    rest = place
    while rest:
        if rest[0] == '"':
            word, _, rest = rest[1:].partition('"')
            rest = rest.removeprefix(".")
        else:
            word, _, rest = rest.partition(".")
        words.append(word.partition("[")[0])
    return tuple(words)


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(line, text, what it says) of each table head and each key with its value."""
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not begun:
            first = number
        begun += line
        try:
            values = tomllib.loads(begun)
        except tomllib.TOMLDecodeError:
            continue
        if values:
            yield first, begun.strip(), values
        begun = ""


def _deepest(values: dict[str, Any]) -> Path:
    """The path of a table's head: `[a.b]` is {a: {b: {}}}, `[[a.b]]` is {a: {b: [{}]}}."""
    path: list[str] = []
    inner: Any = values
    while isinstance(inner, dict) and inner:
        (key, inner), *_ = inner.items()
        path.append(key)
    return tuple(path)


def _paths(values: dict[str, Any]) -> Iterator[Path]:
    for key, value in values.items():
        yield (key,)
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from ((key, *path) for path in _paths(inner))
