"""`optimizer dashboard`."""

from typing import Annotated

import typer

from optimizer_ops.configuration import ConfigOption, configuration, token

app = typer.Typer()


@app.command(rich_help_panel="Processes")
def dashboard(
    config: ConfigOption = None,
    host: Annotated[
        str, typer.Option(help="Where it listens; others than loopback need OPTIMIZER_ADMIN_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port; 0 takes any free one.", min=0, max=65535)] = 8502,
) -> None:
    """Run the dashboard and the HTTP API: what happens, what it costs, what is wrong."""
    from optimizer_ops.dashboard.process import serve
    from optimizer_service.lifetime import run
    from optimizer_service.logs import configure_logs

    settings = configuration(config)
    configure_logs(settings.log_level)
    raise typer.Exit(run(serve(settings, host=host, port=port, token=token())))
