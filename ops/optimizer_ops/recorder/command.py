"""The command `optimizer recorder`."""

from typing import Annotated

import typer

from optimizer_ops.configuration import ConfigOption, configuration, token

app = typer.Typer()


@app.command(rich_help_panel="Processes")
def recorder(
    config: ConfigOption = None,
    admin_host: Annotated[
        str, typer.Option(help="Where /metrics, /healthz and /readyz listen; others than loopback need a token.")
    ] = "127.0.0.1",
    admin_port: Annotated[int, typer.Option(help="Their port; 0 takes any free one.", min=0, max=65535)] = 0,
) -> None:
    """Run the recorder: keeps every request, call and event in the history. A second one stands by."""
    from optimizer_ops.recorder.process import serve
    from optimizer_service.lifetime import run
    from optimizer_service.logs import configure_logs

    settings = configuration(config)
    configure_logs(settings.log_level)
    raise typer.Exit(run(serve(settings, admin_host=admin_host, admin_port=admin_port, admin_token=token())))
