"""The option of every command that reads the configuration."""

from typing import Annotated

import typer

ConfigOption = Annotated[
    str | None, typer.Option("--config", "-c", help="optimizer.toml (default: see docs/operations.md)", metavar="FILE")
]
