"""`optimizer dead list`, `show`, `replay`, `drop`."""

from typing import Annotated

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration
from optimizer_ops.formatting.ages import age_s

app = typer.Typer(
    help="Look at the messages that could not be handled, send them again, or remove them.", no_args_is_help=True
)

Ids = Annotated[list[str] | None, typer.Argument(help="Letters, by their ids in the list.", metavar="ID")]
All = Annotated[bool, typer.Option("--all", help="All letters.")]
OlderThan = Annotated[
    str | None, typer.Option(help="Only letters older than this, for example 15m, 2h or 7d.", metavar="AGE")
]


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """List the dead letters: when and why they died, where, whose they are; never what is in them."""
    from optimizer_ops.dead.run import list_letters

    raise typer.Exit(list_letters(configuration(config), as_json=as_json))


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="The letter, by its id in the list.", metavar="ID")],
    prompt: Annotated[bool, typer.Option("--prompt", help="Also print the message itself, with its prompt.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show all that is known of one letter, without its prompt unless that is asked for."""
    from optimizer_ops.dead.run import show as run_show

    raise typer.Exit(run_show(configuration(config), letter, prompt=prompt, as_json=as_json))


@app.command()
def replay(
    ids: Ids = None,
    every: All = False,
    older_than: OlderThan = None,
    timeout: Annotated[float, typer.Option(help="The new deadline, in seconds from now.", min=0.1, max=86_400)] = 60.0,
    config: ConfigOption = None,
) -> None:
    r"""Send letters back to where they came from, with a fresh deadline; each leaves the dead letters when it is sent.

    Who asked was told an error and has gone. A request keeps its id, and its sender can fetch the answer for 15
    minutes; a call gets a new id, and its answer lies in the cache for whoever asks the same again. One that kills its
    workers is started three times more. With \[users] or \[tenants], run this as the coordinators' RabbitMQ user.
    """
    from optimizer_ops.dead.run import replay as run_replay

    older_than_s = _chosen(ids, every=every, older_than=older_than)
    code = run_replay(configuration(config), ids or (), every=every, older_than_s=older_than_s, timeout_s=timeout)
    raise typer.Exit(code)


@app.command()
def drop(ids: Ids = None, every: All = False, older_than: OlderThan = None, config: ConfigOption = None) -> None:
    """Remove letters for good."""
    from optimizer_ops.dead.run import drop as run_drop

    older_than_s = _chosen(ids, every=every, older_than=older_than)
    raise typer.Exit(run_drop(configuration(config), ids or (), every=every, older_than_s=older_than_s))


def _chosen(ids: list[str] | None, *, every: bool, older_than: str | None) -> int | None:
    """The age in seconds, once it is clear which letters are meant."""
    if not ids and not every and older_than is None:
        raise typer.BadParameter("Say which letters: their ids, --older-than AGE, or --all.")
    if ids and every:
        raise typer.BadParameter("Either ids or --all, not both.")
    try:
        return None if older_than is None else age_s(older_than)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
