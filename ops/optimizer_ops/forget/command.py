"""The command `optimizer forget`."""

import sys
from typing import Annotated

import typer

from optimizer_config.model import Config
from optimizer_ops.config_option import ConfigOption
from optimizer_ops.configuration import configuration
from optimizer_service.exit_codes import EXIT_NOT_YET, EXIT_USAGE

app = typer.Typer()
# EX_TEMPFAIL of sysexits.h: run it again.


@app.command(rich_help_panel="Steering it")
def forget(
    tenant: Annotated[str, typer.Option(help="Whose: as in \\[users] or \\[tenants]; default if there are none.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what there is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(help="Seconds to wait for workers to let go.", min=0)] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
) -> None:
    """Remove all that a tenant asked and was answered, everywhere; what waits is cancelled."""
    from optimizer_service.lifetime import run

    settings = configuration(config)
    if not tenant:
        raise typer.BadParameter("The name of a tenant is not empty.", param_hint="--tenant")
    if not (dry_run or yes):
        _ask(tenant)
    raise typer.Exit(run(_forget(settings, tenant, wait_s=wait, dry_run=dry_run, as_json=as_json)))


async def _forget(config: Config, tenant: str, *, wait_s: float, dry_run: bool, as_json: bool) -> int:
    """Do it and say what was done; returns the exit code."""
    import msgspec

    from optimizer_ops.dead.letters import Busy
    from optimizer_ops.forget.owners import users_of
    from optimizer_ops.forget.run import forget as run_forget
    from optimizer_ops.forget.tally import told
    from optimizer_ops.history.database import DatabaseUnavailable
    from optimizer_service.exit_codes import EXIT_NOT_PERMITTED, EXIT_UNAVAILABLE
    from optimizer_state.store import RedisAway
    from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted

    if (config.users or config.tenants) and not users_of(config, tenant):
        said = f"the configuration names no user of the tenant {tenant}: its requests in queues cannot be told apart"
        print(f"optimizer: warning: {said}.", file=sys.stderr)
    try:
        tally = await run_forget(config, tenant, wait_s=wait_s, dry_run=dry_run)
    except (RedisAway, BrokerUnavailable, DatabaseUnavailable) as error:
        print(f"optimizer: Not everything was removed; run it again when this is mended. {error}", file=sys.stderr)
        return EXIT_NOT_PERMITTED if isinstance(error, NotPermitted) else EXIT_UNAVAILABLE
    except Busy as error:
        print(f"optimizer: The tenant's dead letters were not removed. {error}", file=sys.stderr)
        return EXIT_NOT_YET
    print(msgspec.json.encode(tally).decode() if as_json else "\n".join(told(tally)))
    return 0 if tally.complete else EXIT_NOT_YET


def _ask(tenant: str) -> None:
    """Have a person confirm; without one there is `--yes`."""
    if not sys.stdin.isatty():
        print("optimizer: this removes data for good: add --yes, or --dry-run to see what there is.", file=sys.stderr)
        raise typer.Exit(EXIT_USAGE)
    typer.confirm(f"Remove all answers and requests of the tenant {tenant} for good?", abort=True)
