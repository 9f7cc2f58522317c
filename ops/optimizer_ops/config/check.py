"""`optimizer config check`: whether the configuration is right, and if not, where."""

import sys
from pathlib import Path as FilePath

import msgspec

from optimizer_config.errors import ConfigError
from optimizer_config.load import load
from optimizer_ops.config.lines import lines_of, nearest, path_of
from optimizer_ops.formatting.units import count_of
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_CONFIG


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a check found. `line` is where the mistake is, or the table around it."""

    ok: bool
    file: str | None = None
    line: int | None = None
    error: str | None = None
    warnings: list[str] = []
    backends: int = 0
    routes: int = 0


def check(path: str | None, *, as_json: bool) -> int:
    """Print whether the configuration is right; returns 0, or 78 if it is not."""
    verdict = verdict_of(path)
    if as_json:
        print_json(verdict)
    else:
        _tell(verdict)
    return 0 if verdict.ok else EXIT_CONFIG


def verdict_of(path: str | None) -> Verdict:
    """What is to be said of this file, or of the one that is found."""
    try:
        config = load(path)
    except ConfigError as error:
        return Verdict(ok=False, file=error.file, line=_line(error), error=str(error))
    return Verdict(
        ok=True,
        file=config.path,
        warnings=list(config.warnings),
        backends=len(config.configured),
        routes=len(config.routes) + len(config.models),
    )


def _line(error: ConfigError) -> int | None:
    if error.file is None or error.place is None:
        return None
    try:
        return nearest(lines_of(FilePath(error.file).read_text(encoding="utf-8")), path_of(error.place))
    except (OSError, ValueError):
        return None


def _tell(verdict: Verdict) -> None:
    for warning in verdict.warnings:
        print(f"optimizer: warning: {warning}", file=sys.stderr)
    if not verdict.ok:
        where = f" (line {verdict.line})" if verdict.line else ""
        print(f"optimizer: {verdict.error}{where}", file=sys.stderr)
    elif verdict.file is None:
        print("There is no configuration file: the defaults and the environment hold.")
    else:
        found = [count_of(verdict.backends, "backend"), count_of(verdict.routes, "route")]
        found += [count_of(len(verdict.warnings), "warning")] if verdict.warnings else []
        print(f"{verdict.file} is right: {', '.join(found)}.")
