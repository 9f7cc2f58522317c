"""`optimizer doctor`."""

from typing import Annotated

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration

app = typer.Typer()


@app.command(rich_help_panel="Watching it")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Check everything that a deployment needs, and say what to do. Exit code 1: something failed."""
    from optimizer_ops.doctor.run import doctor as run_doctor
    from optimizer_service.lifetime import run

    raise typer.Exit(run(run_doctor(configuration(config), as_json=as_json)))
