"""`optimizer status` and `optimizer backends`."""

from typing import Annotated

import typer

from optimizer_ops.completion import backend_names
from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration

app = typer.Typer()


@app.command(rich_help_panel="Watching it")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show how the fleet does: processes, backends, hit rate, savings, and what is wrong. Exit code 1: critical."""
    from optimizer_ops.status.run import status as run_status
    from optimizer_service.lifetime import run

    raise typer.Exit(run(run_status(configuration(config), as_json=as_json)))


@app.command(rich_help_panel="Watching it")
def backends(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Show all of these backends.", metavar="BACKEND", autocompletion=backend_names),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the backends: limits, breaker, until when and why one is blocked, workers, latency, errors."""
    from optimizer_ops.status.backends import backends as run_backends
    from optimizer_service.lifetime import run

    raise typer.Exit(run(run_backends(configuration(config), names or (), as_json=as_json)))
