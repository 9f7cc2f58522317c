"""`optimizer permissions`: the rights of every user of the configuration, as commands or as RabbitMQ definitions."""

import json
import shlex
from typing import Annotated

import typer

from optimizer_config.errors import ConfigError
from optimizer_config.model import Config
from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration, refuse
from optimizer_ops.formatting.units import count_of
from optimizer_ops.permissions.rights import commands, definitions, rights_of

app = typer.Typer()


@app.command(rich_help_panel="Steering it")
def permissions(
    as_json: Annotated[bool, typer.Option("--json", help="Print a part of RabbitMQ's definitions.")] = False,
    config: ConfigOption = None,
) -> None:
    """Print the rights on RabbitMQ that each user of the configuration needs, as commands to run where RabbitMQ is."""
    from optimizer_ops.services.urls import parse

    settings = configuration(config)
    if not settings.users:
        refuse(ConfigError("The configuration has no [users]: see docs/operations.md, Users and rights."))
    vhost = parse(settings.amqp_url).path or "/"
    rights = rights_of(settings)
    if as_json:
        typer.echo(json.dumps(definitions(rights, vhost), indent=2))
        return
    typer.echo(_explained(settings, vhost))
    for line in commands(rights, vhost):
        typer.echo(" && ".join(map(shlex.join, line)))


def _explained(config: Config, vhost: str) -> str:
    return "\n".join(
        [
            f'# Rights of {count_of(len(config.users), "user")} of "{config.prefix}" on the virtual host {vhost}.',
            "# No passwords: create each user once with rabbitmqctl add_user, which asks for one:",
            *(f"#   rabbitmqctl add_user {shlex.quote(name)}" for name in config.users),
            "# RabbitMQ 4 takes the rights of observers only once a coordinator has run: run theirs again then.",
        ]
    )
