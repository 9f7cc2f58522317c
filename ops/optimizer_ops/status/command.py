"""`optimizer status` and `optimizer backends`."""

from typing import Annotated

import typer

from optimizer_ops.configuration import ConfigOption, configuration

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
