"""`optimizer top`."""

from typing import Annotated

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration

app = typer.Typer()


@app.command(rich_help_panel="Watching it")
def top(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a second.")] = False,
    config: ConfigOption = None,
) -> None:
    """Watch the fleet at work: rates by agent and backend, what runs and waits, budgets, events. q quits."""
    from optimizer_ops.top.run import top as run_top
    from optimizer_service.lifetime import run

    raise typer.Exit(run(run_top(configuration(config), as_json=as_json)))
