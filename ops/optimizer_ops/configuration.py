"""The configuration as commands take it: one option, and one sentence if it cannot be used."""

from typing import Annotated, NoReturn

import typer

from optimizer_config.credentials import Secret, admin_token
from optimizer_config.errors import ConfigError
from optimizer_config.load import load
from optimizer_config.model import Config
from optimizer_service.exit_codes import EXIT_CONFIG

ConfigOption = Annotated[
    str | None, typer.Option("--config", "-c", help="optimizer.toml (default: see docs/operations.md)", metavar="FILE")
]


def configuration(path: str | None) -> Config:
    """The configuration, or the end of the process with one sentence and exit code 78."""
    try:
        config = load(path)
    except ConfigError as error:
        refuse(error)
    for warning in config.warnings:
        typer.echo(f"optimizer: warning: {warning}", err=True)
    return config


def token() -> Secret | None:
    """The token of the admin port, or the end of the process with one sentence and exit code 78."""
    try:
        return admin_token()
    except ConfigError as error:
        refuse(error)


def refuse(error: ConfigError) -> NoReturn:
    """End the process with the sentence and exit code 78."""
    typer.echo(f"optimizer: {error}", err=True)
    raise typer.Exit(EXIT_CONFIG) from None
