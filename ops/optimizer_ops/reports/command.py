"""`optimizer costs`, `calls`, `trace` and `agents`: what the history tells."""

import time
from typing import Annotated, Literal

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration
from optimizer_ops.formatting.moments import moment

app = typer.Typer()

Since = Annotated[
    str, typer.Option(help="From when: 30m, 24h, 7d ago, 2026-11-01 or 2026-11-01T14:30.", metavar="WHEN")
]
Until = Annotated[str | None, typer.Option(help="Until before when; as --since.", metavar="WHEN")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command(rich_help_panel="Watching it")
def costs(
    by: Annotated[
        Literal["agent", "backend", "model", "task", "tenant"], typer.Option(help="Whose or what's costs.")
    ] = "agent",
    since: Since = "7d",
    until: Until = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Show what was spent, and what was saved: money, calls, tokens, hit rate, by agent, backend, model or task."""
    from optimizer_ops.ask_history import ask_history
    from optimizer_ops.reports.costs import costs as run_costs

    begin, end = _span(since, until)
    settings = configuration(config)
    raise typer.Exit(ask_history(settings, lambda history: run_costs(history, by, begin, end, as_json=as_json)))


@app.command(rich_help_panel="Watching it")
def calls(
    agent: Annotated[str | None, typer.Option(help="Of this agent.")] = None,
    backend: Annotated[str | None, typer.Option(help="Answered by this backend.")] = None,
    model: Annotated[str | None, typer.Option(help="Answered by this model.")] = None,
    task: Annotated[str | None, typer.Option(help="Of this task.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="answered, open, or an error, for example deadline_exceeded.")
    ] = None,
    source: Annotated[
        Literal["backend", "cache", "collapsed"] | None, typer.Option(help="Where the answer came from.")
    ] = None,
    since: Since = "24h",
    until: Until = None,
    slowest: Annotated[bool, typer.Option("--slowest", help="The slowest first, not the latest.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that ended with an error.")] = False,
    limit: Annotated[int, typer.Option(help="So many at most.", min=1, max=10_000)] = 20,
    before: Annotated[str | None, typer.Option(help="What follows this request in the list.", metavar="ID")] = None,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Search the requests of the history; `optimizer trace ID` tells the way of one."""
    from optimizer_ops.ask_history import ask_history
    from optimizer_ops.reports.calls import calls as run_calls

    begin, end = _span(since, until)
    where = _given(agent=agent, backend=backend, model=model, task=task, tenant=tenant, outcome=outcome, source=source)
    settings = configuration(config)
    code = ask_history(
        settings,
        lambda history: run_calls(
            history,
            begin,
            end,
            where,
            limit=limit,
            before=before,
            slowest=slowest,
            failed=failed,
            as_json=as_json,
        ),
    )
    raise typer.Exit(code)


@app.command(rich_help_panel="Watching it")
def trace(
    request_id: Annotated[
        str | None, typer.Argument(help="The request, by its id or the beginning of it.", metavar="ID")
    ] = None,
    slowest: Annotated[bool, typer.Option("--slowest", help="The slowest one since --since.")] = False,
    last: Annotated[bool, typer.Option("--last", help="The latest one.")] = False,
    since: Since = "24h",
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Tell the whole way of one request with times: what it waited for, each call, and why it took so long."""
    if sum((request_id is not None, slowest, last)) != 1:
        raise typer.BadParameter("Say which request: its id, --slowest or --last.")
    from optimizer_ops.ask_history import ask_history
    from optimizer_ops.reports.trace import trace as run_trace

    begin, _ = _span(since, None)
    settings = configuration(config)
    raise typer.Exit(
        ask_history(settings, lambda history: run_trace(history, request_id, begin, slowest=slowest, as_json=as_json))
    )


@app.command(rich_help_panel="Watching it")
def agents(
    name: Annotated[str | None, typer.Argument(help="All that is known of this agent.")] = None,
    since: Since = "7d",
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Show every agent ever seen: what it asks for, where, how much, its errors and costs, and whether it is well."""
    from optimizer_ops.ask_history import ask_history
    from optimizer_ops.reports import agents as reports

    begin, _ = _span(since, None)
    settings = configuration(config)
    if name is None:
        raise typer.Exit(ask_history(settings, lambda history: reports.agents(history, begin, as_json=as_json)))
    raise typer.Exit(ask_history(settings, lambda history: reports.agent(history, name, begin, as_json=as_json)))


def _given(**options: str | None) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _span(since: str, until: str | None) -> tuple[float, float | None]:
    now = time.time()
    try:
        begin, end = moment(since, now), None if until is None else moment(until, now)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if end is not None and end <= begin:
        raise typer.BadParameter("--until must be later than --since.")
    return begin, end
