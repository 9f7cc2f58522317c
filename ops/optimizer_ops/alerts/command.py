"""`optimizer alerts`, `alerts test`, `alerts silence`."""

import time
from typing import Annotated

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration

app = typer.Typer(help="Show what is or was wrong; try who is told, or let nobody be told for a while.")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    since: Annotated[
        str, typer.Option(help="Also those that ended since: 30m, 24h, 7d ago, or a date.", metavar="WHEN")
    ] = "7d",
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Show what is wrong now, what was, and of what nobody could be told."""
    if context.invoked_subcommand is not None:
        return
    from optimizer_ops.alerts.run import show
    from optimizer_ops.formatting.moments import moment

    try:
        begin = moment(since, time.time())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--since") from None
    raise typer.Exit(show(configuration(config), begin, as_json=as_json))


@app.command("test")
def try_(
    sink: Annotated[str | None, typer.Argument(help="Only this one of the sinks, by its name.")] = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Send a test to everybody who is told of alerts, or to one of them, and say how it went."""
    from optimizer_ops.alerts.run import try_sinks
    from optimizer_service.lifetime import run

    raise typer.Exit(run(try_sinks(configuration(config), sink, as_json=as_json)))


@app.command()
def silence(
    name: Annotated[str, typer.Argument(help="An alert, for example rate_limit, or of one subject: rate_limit/groq.")],
    duration: Annotated[str, typer.Option("--for", help="For how long: 30m, 2h, 1d; 0 ends it.")] = "2h",
    config: ConfigOption = None,
) -> None:
    """Tell nobody of an alert for a while; it is still shown and recorded."""
    from optimizer_ops.alerts.run import silence as run_silence
    from optimizer_ops.formatting.ages import age_s

    try:
        for_s = 0 if duration.strip() == "0" else age_s(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    raise typer.Exit(run_silence(configuration(config), name, for_s))
