"""The commands `optimizer history`: how it stands, `export`, `reprice`."""

import os
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration, refuse
from optimizer_service.exit_codes import EXIT_UNAVAILABLE

if TYPE_CHECKING:
    from optimizer_ops.recorder.standing import Standing

app = typer.Typer(help="How the history stands; its rows as JSON lines; what calls cost, computed anew.")
Since = Annotated[
    str | None,
    typer.Option(help="From when: 30m, 24h, 7d ago, 2026-11-01; all without it.", metavar="WHEN"),
]


class Kind(StrEnum):
    """What is exported."""

    calls = "calls"
    requests = "requests"


@app.callback(invoke_without_command=True)
def history(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """How the history stands; its rows as JSON lines; what calls cost, computed anew."""
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from optimizer_ops.history.database import DatabaseUnavailable, open_engine
    from optimizer_ops.recorder.standing import standing

    try:
        found = standing(open_engine(configuration(config).history_url))
    except DatabaseUnavailable as error:
        _unavailable(error)
    typer.echo(msgspec.json.encode(found).decode() if as_json else _shown(found))


@app.command()
def export(
    kind: Annotated[
        Kind, typer.Option(help="What: a line for each call to a backend, or for each request.")
    ] = Kind.calls,
    since: Since = None,
    config: ConfigOption = None,
) -> None:
    """Write the rows of the history as JSON lines: optimizer history export --since 7d > calls.jsonl"""
    from optimizer_ops.history.database import DatabaseUnavailable, open_engine
    from optimizer_ops.recorder.export import export as write

    begin = _moment(since)
    try:
        count = write(open_engine(configuration(config).history_url), kind.value, begin, sys.stdout)
        sys.stdout.flush()
    except DatabaseUnavailable as error:
        _unavailable(error)
    except BrokenPipeError:  # whoever reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    typer.echo(f"{count:,} {kind.value}", err=True)


@app.command()
def reprice(
    since: Since = None,
    config: ConfigOption = None,
) -> None:
    """Compute what calls cost anew, from their raw usage, with the prices that are known now; the sums follow."""
    from optimizer_backends.prices import Prices
    from optimizer_config.errors import ConfigError
    from optimizer_ops.history.database import DatabaseUnavailable, migrate, open_engine
    from optimizer_ops.history.tables import NANO
    from optimizer_ops.recorder.reprice import reprice as run

    settings = configuration(config)
    begin = _moment(since)
    calls = changed = difference = 0
    try:
        prices = Prices(settings.prices_file)
        engine = open_engine(settings.history_url)
        migrate(engine)
        for step in run(engine, prices, settings.backends, begin):
            calls, changed, difference = (
                calls + step.calls,
                changed + step.changed,
                difference + step.difference_nano,
            )
            if sys.stderr.isatty():
                typer.echo(f"\r{calls:,} calls, {changed:,} changed", err=True, nl=False)
            time.sleep(0.01)  # the recorder writes in between
    except ConfigError as error:
        refuse(error)
    except DatabaseUnavailable as error:
        _unavailable(error)
    if sys.stderr.isatty():
        typer.echo("", err=True)
    typer.echo(f"{calls:,} calls looked at, {changed:,} cost something else now: {difference / NANO:+,.6f} US dollars.")


def _moment(since: str | None) -> float:
    from optimizer_ops.formatting.moments import moment

    try:
        return moment(since, time.time()) if since else 0.0
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _unavailable(error: Exception) -> NoReturn:
    typer.echo(f"optimizer: {error}", err=True)
    raise typer.Exit(EXIT_UNAVAILABLE) from None


def _shown(found: "Standing") -> str:
    from optimizer_ops.formatting.moments import day
    from optimizer_ops.formatting.units import duration

    rows = ", ".join(f"{count:,} {name}" for name, count in found.rows.items())
    lag = "no recorder has written yet" if found.lag_s is None else f"last written {duration(found.lag_s)} ago"
    began = f"since {day(found.oldest)}" if found.oldest else "nothing in it yet"
    return "\n".join(
        (
            f"{found.place}: {found.bytes / 1e6:,.1f} MB, {began}",
            f"rows      {rows}",
            f"recorder  {lag}; {found.recorded:,} events recorded, {found.lost:,} lost, {found.waiting:,} wait",
        )
    )
