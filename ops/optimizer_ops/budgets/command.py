"""The commands of operators: `budgets`, `pause`, `resume`, `drain`, `unblock`, `budget set`, `budget reset`."""

from typing import Annotated

import typer

from optimizer_ops.completion import backend_names
from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration

app = typer.Typer()
budget = typer.Typer(
    help="Change the counts of a backend's limits while the fleet runs.",
    no_args_is_help=True,
)
app.add_typer(budget, name="budget", rich_help_panel="Steering it")

BackendArgument = Annotated[
    str, typer.Argument(help="The backend, for example groq.", metavar="BACKEND", autocompletion=backend_names)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command(rich_help_panel="Watching it")
def budgets(
    backends: Annotated[
        list[str] | None, typer.Argument(help="Only these backends.", metavar="BACKEND", autocompletion=backend_names)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every second, until Ctrl-C.")] = False,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Show what each backend's limits have left, what is reserved, and whether calls may start."""
    from optimizer_ops.budgets.show import show
    from optimizer_service.lifetime import run

    settings = configuration(config)
    raise typer.Exit(run(show(settings, backends or (), watch=watch, as_json=as_json)))


@app.command(rich_help_panel="Watching it")
def quotas(
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Show what agents, tenants and the fleet have used of their quotas, and when these have room again."""
    from optimizer_ops.budgets.quotas import show
    from optimizer_service.lifetime import run

    raise typer.Exit(run(show(configuration(config), as_json=as_json)))


@app.command(rich_help_panel="Steering it")
def pause(backend: BackendArgument, as_json: AsJson = False, config: ConfigOption = None) -> None:
    """Let no call start at a backend; what waits there moves to another one of its route, or waits."""
    from optimizer_ops.budgets import change

    raise typer.Exit(change.mode(configuration(config), backend, "pause", as_json=as_json))


@app.command(rich_help_panel="Steering it")
def drain(backend: BackendArgument, as_json: AsJson = False, config: ConfigOption = None) -> None:
    """Route no new requests to a backend; what already waits for it is still served."""
    from optimizer_ops.budgets import change

    raise typer.Exit(change.mode(configuration(config), backend, "drain", as_json=as_json))


@app.command(rich_help_panel="Steering it")
def resume(backend: BackendArgument, as_json: AsJson = False, config: ConfigOption = None) -> None:
    """Undo pause and drain."""
    from optimizer_ops.budgets import change

    raise typer.Exit(change.mode(configuration(config), backend, "resume", as_json=as_json))


@app.command(rich_help_panel="Steering it")
def unblock(backend: BackendArgument, as_json: AsJson = False, config: ConfigOption = None) -> None:
    """Try a backend now that is blocked or whose breaker is open: one call goes first, the others follow its answer."""
    from optimizer_ops.budgets import change

    raise typer.Exit(change.unblock_backend(configuration(config), backend, as_json=as_json))


@budget.command("set")
def set_(
    backend: BackendArgument,
    counts: Annotated[list[str], typer.Argument(help="For example rpm=20 tpm=6000.", metavar="LIMIT=COUNT")],
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Let other counts hold than the configured ones, from the next call on, until they are reset."""
    from optimizer_ops.budgets import change

    raise typer.Exit(change.set_counts(configuration(config), backend, counts, as_json=as_json))


@budget.command()
def reset(
    backend: BackendArgument,
    limits: Annotated[list[str] | None, typer.Argument(help="Only these limits.", metavar="LIMIT")] = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Let the configured counts hold again."""
    from optimizer_ops.budgets import change

    raise typer.Exit(change.reset_counts(configuration(config), backend, limits or (), as_json=as_json))
