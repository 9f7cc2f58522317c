"""`optimizer`: one command for every process and every look at the fleet.

Heavy imports happen inside the commands, so that `--help` and the light commands are quick.
"""

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from optimizer_ops import serving
from optimizer_ops.alerts.command import app as alerts
from optimizer_ops.budgets.command import app as budgets
from optimizer_ops.cache.command import app as cache
from optimizer_ops.completion import backend_names
from optimizer_ops.config.command import app as config_commands
from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration
from optimizer_ops.dead.command import app as dead
from optimizer_ops.doctor.command import app as doctor
from optimizer_ops.forget.command import app as forget
from optimizer_ops.permissions.command import app as permissions
from optimizer_ops.recorder.history_command import app as history
from optimizer_ops.reports.command import app as reports
from optimizer_ops.serving import DASHBOARD_PORT, HOST
from optimizer_ops.status.command import app as status
from optimizer_ops.systemd.command import app as install
from optimizer_ops.top.command import app as top

# What is looked for first comes first: panels in the order of their first command, commands as here, others behind.
_ORDER = (
    *("coordinator", "worker", "recorder", "dashboard", "up", "simulate", "install"),
    *("ask", "fetch"),
    *("status", "alerts", "top", "backends", "budgets", "quotas", "agents", "costs", "calls", "trace", "events"),
    *("doctor", "config", "topology"),
    *("pause", "drain", "resume", "unblock", "budget", "cache", "dead", "permissions", "forget"),
)


class _Ordered(TyperGroup):
    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


app = typer.Typer(
    cls=_Ordered,
    name="optimizer",
    help="One place through which a fleet's calls to language models go.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AdminHost = Annotated[
    str,
    typer.Option(help="Where /metrics, /healthz and /readyz listen; others than loopback need OPTIMIZER_ADMIN_TOKEN."),
]
AdminPort = Annotated[int, typer.Option(help="Their port; 0 takes any free one and logs it.", min=0, max=65535)]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"optimizer {version('fleet-optimizer')}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    """One place through which a fleet's calls to language models go."""


@app.command(rich_help_panel="Processes")
def coordinator(config: ConfigOption = None, admin_host: AdminHost = HOST, admin_port: AdminPort = 0) -> None:
    """Run a coordinator: cache, collapsing, routing. Start as many as you like."""
    raise typer.Exit(serving.coordinator(config, admin_host, admin_port))


@app.command(rich_help_panel="Processes")
def worker(
    backend: Annotated[
        str,
        typer.Argument(
            help="The backend to serve, for example groq; groq:2 is the same.",
            metavar="BACKEND",
            autocompletion=backend_names,
        ),
    ],
    config: ConfigOption = None,
    admin_host: AdminHost = HOST,
    admin_port: AdminPort = 0,
) -> None:
    """Run a worker of one backend. All workers of a backend share its budget."""
    raise typer.Exit(serving.worker(config, admin_host, admin_port, backend))


@app.command(rich_help_panel="Processes")
def recorder(config: ConfigOption = None, admin_host: AdminHost = HOST, admin_port: AdminPort = 0) -> None:
    """Run the recorder: keeps every request, call and event in the history. A second one stands by."""
    raise typer.Exit(serving.recorder(config, admin_host, admin_port))


@app.command(rich_help_panel="Processes")
def dashboard(
    config: ConfigOption = None,
    host: Annotated[
        str, typer.Option(help="Where it listens; others than loopback need OPTIMIZER_ADMIN_TOKEN.")
    ] = HOST,
    port: Annotated[int, typer.Option(help="Its port; 0 takes any free one.", min=0, max=65535)] = DASHBOARD_PORT,
) -> None:
    """Run the dashboard and the HTTP API: what happens, what it costs, what is wrong."""
    raise typer.Exit(serving.dashboard(config, host, port))


@app.command(rich_help_panel="Processes")
def up(
    config: ConfigOption = None,
    coordinators: Annotated[int, typer.Option(help="How many coordinators.", min=1)] = 2,
    workers: Annotated[int, typer.Option(help="How many workers for each backend.", min=1)] = 1,
    bare: Annotated[
        bool, typer.Option("--bare", help="Without the recorder of the history and the dashboard.")
    ] = False,
    dashboard_port: Annotated[
        int, typer.Option(help="Of the dashboard; 0 for any free.", min=0, max=65535)
    ] = DASHBOARD_PORT,
) -> None:
    """Run coordinators, the workers of every configured backend, recorder and dashboard here, until Ctrl-C."""
    from optimizer_ops.up import up as run_up

    shown = None if bare else dashboard_port
    raise typer.Exit(run_up(configuration(config), config, coordinators=coordinators, workers=workers, dashboard=shown))


@app.command(
    rich_help_panel="Processes",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def simulate(context: typer.Context) -> None:
    """Run simulated backends: real HTTP, scripted latency, limits and failures."""
    from optimizer_ops.simulator.command import main as run_simulator

    raise typer.Exit(run_simulator(context.args, prog="optimizer simulate"))


@app.command(rich_help_panel="Using it")
def ask(
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads standard input.", metavar="PROMPT")],
    agent: Annotated[str, typer.Option(help="Who asks.")] = "cli",
    model: Annotated[str, typer.Option(help="An alias, a backend, backend/model, or auto.")] = "auto",
    task: Annotated[str | None, typer.Option(help="code, reasoning, creative, long or general.")] = None,
    timeout: Annotated[float, typer.Option(help="Deadline in seconds.")] = 60.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not take the answer from the cache.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole reply, or the id, as JSON.")] = False,
    submit: Annotated[bool, typer.Option("--submit", help="Print an id and leave: see optimizer fetch.")] = False,
    config: ConfigOption = None,
) -> None:
    """Ask one question through the optimizer."""
    from optimizer_ops.ask import ask as run_ask

    text = sys.stdin.read() if prompt == "-" else prompt
    code = run_ask(
        configuration(config),
        text,
        agent=agent,
        model=model,
        task=task,
        timeout_s=timeout,
        fresh=fresh,
        as_json=as_json,
        submit=submit,
    )
    raise typer.Exit(code)


@app.command(rich_help_panel="Using it")
def fetch(
    request_id: Annotated[str, typer.Argument(help="What optimizer ask --submit has printed.", metavar="ID")],
    agent: Annotated[str, typer.Option(help="Who asks: a name in which whoever submitted it may ask.")] = "cli",
    timeout: Annotated[float, typer.Option(help="For how many seconds to wait for the answer.", min=0)] = 60.0,
    status: Annotated[bool, typer.Option("--status", help="Only tell how it stands.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole reply, or status, as JSON.")] = False,
    config: ConfigOption = None,
) -> None:
    """Fetch the answer to a question that was submitted, within 15 minutes of when it was there."""
    if status and cancel:
        raise typer.BadParameter("Either --status or --cancel, not both.")
    from optimizer_ops.ask import fetch as run_fetch

    code = run_fetch(
        configuration(config),
        request_id,
        agent=agent,
        timeout_s=timeout,
        status=status,
        cancel=cancel,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command(rich_help_panel="Watching it")
def events(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Event types; a trailing .* includes all below.", metavar="TYPE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    count: Annotated[int | None, typer.Option(help="Stop after so many.", min=1)] = None,
    config: ConfigOption = None,
) -> None:
    """Print events as they happen: optimizer events 'optimizer.cache.*'"""
    from optimizer_ops.event_monitor import monitor
    from optimizer_service.lifetime import run

    settings = configuration(config)
    raise typer.Exit(run(monitor(settings.amqp_url, settings.prefix, patterns or ["optimizer.*"], as_json, count)))


@app.command(rich_help_panel="Watching it")
def topology(
    config: ConfigOption = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Also the queues of this backend.", metavar="BACKEND", autocompletion=backend_names),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell in words which queues and exchanges on RabbitMQ differ from what they must be; declare what is missing."""
    from optimizer_ops.topology_check import check
    from optimizer_service.lifetime import run

    settings = configuration(config)
    names = sorted({*settings.served, *(backend or [])})
    raise typer.Exit(run(check(settings.amqp_url, settings.prefix, names, as_json=as_json)))


app.add_typer(history, name="history", rich_help_panel="Watching it")
app.add_typer(status)
app.add_typer(top)
app.add_typer(reports)
app.add_typer(alerts, name="alerts", rich_help_panel="Watching it")
app.add_typer(budgets)
app.add_typer(cache, name="cache", rich_help_panel="Steering it")
app.add_typer(dead, name="dead", rich_help_panel="Steering it")
app.add_typer(doctor)
app.add_typer(config_commands, name="config", rich_help_panel="Watching it")
app.add_typer(permissions)
app.add_typer(forget)
app.add_typer(install, name="install", rich_help_panel="Processes")


@app.command(rich_help_panel="Trying it", context_settings={"ignore_unknown_options": False})
def demo(
    seconds: Annotated[float, typer.Option(help="How long the agents work.", min=2)] = 30.0,
    agents: Annotated[int, typer.Option(help="How many agents.", min=1)] = 28,
    stay: Annotated[bool, typer.Option("--stay", help="Go on after the result until Ctrl-C, to look around.")] = False,
    json_file: Annotated[str | None, typer.Option("--json", help="Write the result to a file.", metavar="FILE")] = None,
) -> None:
    """Run a fleet of agents on simulated backends, and show what the optimizer saves."""
    from optimizer_ops.demo.command import demo as run_demo

    raise typer.Exit(run_demo(seconds=seconds, agents=agents, stay=stay, json_file=json_file))


@app.command(
    rich_help_panel="Trying it",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def services(context: typer.Context) -> None:
    """Make RabbitMQ and Redis available on this machine (up, status, stop)."""
    from optimizer_ops.services.__main__ import main as run_services

    raise typer.Exit(run_services(context.args))


def main() -> None:
    """The entry point."""
    app()
