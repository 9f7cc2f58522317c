"""`optimizer install …`: makes the optimizer a part of this machine."""

from pathlib import Path
from typing import Annotated

import typer

from optimizer_config.errors import ConfigError
from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration, refuse

app = typer.Typer(no_args_is_help=True, help="Make the optimizer a part of this machine.")


@app.callback()
def root() -> None:
    """Make the optimizer a part of this machine."""


@app.command()
def systemd(
    user: Annotated[bool, typer.Option("--user", help="For your own account, not for the whole machine.")] = False,
    coordinators: Annotated[int, typer.Option(help="How many coordinators.", min=1)] = 2,
    worker: Annotated[
        list[str] | None,
        typer.Option(help="A backend to serve; groq:3 for three workers. Default: one of each that is configured."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the units instead of writing them.")] = False,
    image: Annotated[Path, typer.Option("--root", help="Write below this folder, as for an image.")] = Path("/"),
    config: ConfigOption = None,
) -> None:
    """Write the units of systemd, and say what to do next. Nothing is started; what is as it should be stays."""
    from optimizer_ops.systemd.install import Wanted, counted, install, warnings

    settings = configuration(config)
    try:
        workers = counted(settings, worker or [])
    except ConfigError as error:
        refuse(error)
    except ValueError:
        raise typer.BadParameter("--worker takes a backend, or a backend and a number: groq:3") from None
    wanted = Wanted("user" if user else "system", coordinators, workers, image, dry_run=dry_run)
    for warning in warnings(settings, wanted):
        typer.echo(f"optimizer: warning: {warning}", err=True)
    raise typer.Exit(install(settings, wanted))
