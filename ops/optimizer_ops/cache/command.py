"""The commands of the cache: `optimizer cache stats`, `inspect`, `flush`."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration
from optimizer_ops.formatting.ages import age_s
from optimizer_service.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    from optimizer_ops.cache.flush import FlushTally
    from optimizer_state.selection import Selection

app = typer.Typer(help="What is stored, looking into it, and flushing it.", no_args_is_help=True)

_FINGERPRINT = re.compile(r"[0-9a-f]{4,32}")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Namespace = Annotated[str | None, typer.Option(help="Of this namespace of the cache; '' is the usual one.")]
Tenant = Annotated[str | None, typer.Option(help="Asked for by this tenant.")]
Agent = Annotated[str | None, typer.Option(help="Asked for by this agent.")]
Model = Annotated[str | None, typer.Option(help="Given by this model, as its backend calls it.")]
Backend = Annotated[str | None, typer.Option(help="Given by this backend.")]
Task = Annotated[str | None, typer.Option(help="Of this task: code, reasoning, creative, long or general.")]


@app.command()
def stats(
    exact: Annotated[bool, typer.Option("--exact", help="Look at every answer: 1,000,000 take half a minute.")] = False,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Show how many answers are stored, of whom, how much memory they take, and the hit rate of the last day."""
    from optimizer_ops.cache.run import stats as run_stats

    raise typer.Exit(run_stats(configuration(config), exact=exact, as_json=as_json))


@app.command()
def inspect(
    fingerprint: Annotated[str | None, typer.Argument(help="One answer; the beginning of its name will do.")] = None,
    namespace: Namespace = None,
    tenant: Tenant = None,
    agent: Agent = None,
    model: Model = None,
    backend: Backend = None,
    task: Task = None,
    limit: Annotated[int, typer.Option(help="Show so many, the latest stored first.", min=1, max=10_000)] = 20,
    text: Annotated[bool, typer.Option("--text", help="Also print the answer itself; with a fingerprint.")] = False,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Show what is known of stored answers; their text only with --text and a fingerprint."""
    from optimizer_ops.cache import run

    what = _selection(
        fingerprint=fingerprint,
        namespace=namespace,
        tenant=tenant,
        agent=agent,
        model=model,
        backend=backend,
        task=task,
    )
    settings = configuration(config)
    if fingerprint is not None:
        raise typer.Exit(run.inspect_one(settings, fingerprint, text=text, as_json=as_json))
    if text:
        raise typer.BadParameter("--text shows one answer: give its fingerprint.")
    raise typer.Exit(run.inspect(settings, what, limit=limit, as_json=as_json))


@app.command()
def flush(
    fingerprint: Annotated[str | None, typer.Option(help="This answer; the beginning of its name will do.")] = None,
    namespace: Namespace = None,
    tenant: Tenant = None,
    agent: Agent = None,
    model: Model = None,
    backend: Backend = None,
    task: Task = None,
    older_than: Annotated[str | None, typer.Option(help="Stored so long ago: 15m, 2h, 7d.", metavar="AGE")] = None,
    every: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    config: ConfigOption = None,
) -> None:
    """Remove stored answers that have all of these properties; nothing that was asked before is stored again."""
    from optimizer_ops.cache import run

    what = _selection(
        fingerprint=fingerprint,
        namespace=namespace,
        tenant=tenant,
        agent=agent,
        model=model,
        backend=backend,
        task=task,
    )
    try:
        older_than_s = None if older_than is None else age_s(older_than)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--older-than") from None
    named = not what.everything or older_than_s is not None
    if named == every:
        wrong = "Either --all or some of them, not both." if every else "Say which answers, for example --task code."
        raise typer.BadParameter(wrong)
    settings = configuration(config)
    confirm = None if yes or dry_run else _ask
    if confirm and not sys.stdin.isatty():
        print("optimizer: this removes answers for good: add --yes, or --dry-run to count them.", file=sys.stderr)
        raise typer.Exit(EXIT_USAGE)
    code = run.flush(settings, what, older_than_s=older_than_s, dry_run=dry_run, as_json=as_json, confirm=confirm)
    raise typer.Exit(code)


def _ask(tally: "FlushTally") -> None:
    from optimizer_ops.cache.flush_summary import sentence

    typer.echo(sentence(tally), err=True)
    typer.confirm("Remove them for good?", abort=True, err=True)


def _selection(**properties: str | None) -> "Selection":
    from optimizer_state.selection import Selection
    from optimizer_wire.messages import Task as Tasks

    fingerprint, task = properties["fingerprint"], properties["task"]
    if fingerprint is not None and not _FINGERPRINT.fullmatch(fingerprint):
        raise typer.BadParameter("A fingerprint is 32 digits of 0-9 and a-f, or the first four or more of them.")
    if task is not None and task not in get_args(Tasks):
        raise typer.BadParameter(f"There is no task {task!r}; it is one of {', '.join(get_args(Tasks))}.")
    return Selection(**properties)
