"""`optimizer config show` and `optimizer config check`."""

from typing import Annotated

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration

app = typer.Typer(help="Show what is configured and where it comes from, or check a file.", no_args_is_help=True)


@app.command()
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Also the backends of the catalogue that are not used.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with the origins.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show the effective configuration as TOML: defaults, catalogue, file and environment together."""
    from optimizer_ops.config.show import show as run_show

    raise typer.Exit(run_show(configuration(config), origin=origin, every=every, as_json=as_json))


@app.command()
def check(
    file: Annotated[
        str | None, typer.Argument(help="The file; without it the one that is used.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Check the configuration: exit code 78, the place and the line if something is wrong."""
    from optimizer_ops.config.check import check as run_check

    raise typer.Exit(run_check(file or config, as_json=as_json))
