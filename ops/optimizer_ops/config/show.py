"""`optimizer config show`: the effective configuration, as TOML or JSON."""

import os
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from rich.console import Console
from rich.text import Text

from optimizer_config.model import Config
from optimizer_ops.config.lines import Path, lines_of
from optimizer_ops.config.origins import Origins
from optimizer_ops.config.toml import key, table_head, value
from optimizer_ops.config.values import values_of
from optimizer_ops.terminal.output import print_json
from optimizer_wire.tls import TlsFiles

_COMMENT_AT = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of the configuration, what it holds, and where that comes from."""

    path: Path
    value: Any
    origin: str


def show(config: Config, *, origin: bool, every: bool, as_json: bool) -> int:
    """Print what is configured; returns the exit code."""
    entries = entries_of(config, every=every)
    if as_json:
        values = [
            {"key": ".".join(map(key, each.path)), "value": each.value, "origin": each.origin} for each in entries
        ]
        print_json({"file": config.path, "values": values})
        return 0
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"# {config.path or 'No file: defaults and the environment.'}", style="bright_black"))
    for line in toml_lines(entries, origin=origin):
        console.print(line)
    sys.stdout.flush()
    return 0


def entries_of(config: Config, *, every: bool) -> list[Entry]:
    """Everything that is configured, with where it comes from."""
    text = FilePath(config.path).read_text(encoding="utf-8") if config.path else ""
    raw, lines = tomllib.loads(text), lines_of(text)
    origins = Origins(config.path, lines, os.environ)
    values = values_of(config, raw, _tls(raw), every=every)
    return [Entry(path, given, origins.of(path, given)) for path, given in values]


def toml_lines(entries: Iterable[Entry], *, origin: bool) -> list[Text]:
    """TOML, with the origins as comments if they are wanted."""
    lines: list[Text] = []
    table: Path = ()
    for entry in entries:
        if entry.path[:-1] != table:
            table = entry.path[:-1]
            lines += [Text(), Text(table_head(table), style="bold")]
        line = Text(f"{key(entry.path[-1])} = {value(entry.value)}")
        if origin:
            colour = "bright_black" if entry.origin.startswith(("default", "catalogue")) else "cyan"
            line.append(" " * max(2, _COMMENT_AT - len(line))).append(f"# {entry.origin}", style=colour)
        lines.append(line)
    return lines


def _tls(raw: dict[str, Any]) -> dict[str, str]:
    names = ("ca_file", "cert_file", "key_file")
    written = TlsFiles(*(raw.get("tls", {}).get(name) for name in names))
    files = TlsFiles.from_environment(os.environ).over(written)
    paths = (files.cafile, files.certfile, files.keyfile)
    return {name: path for name, path in zip(names, paths, strict=True) if path}
