"""`optimizer quotas`: what agents, tenants and the fleet have used of their quotas."""

import sys
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from optimizer_config.model import Config
from optimizer_ops.budgets.wanted import MICRO_USD
from optimizer_ops.formatting.units import dollars, duration
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_UNAVAILABLE
from optimizer_state.quota_reader import QuotaLevel, QuotaReader
from optimizer_state.store import RedisAway, Store

MOST_SHOWN = 40
_TIGHT = 0.15


async def show(config: Config, *, as_json: bool) -> int:
    """Print the quotas in use, the tightest first; returns the exit code."""
    quotas = config.quotas
    if not quotas.limits and not quotas.agents and not as_json:
        print("No quotas are configured: [quotas] and [agents] in optimizer.toml.")
        return 0
    store = Store(config.redis_url, config.prefix)
    try:
        found = await QuotaReader(store, quotas).levels()
    except RedisAway as error:
        print(f"optimizer: The quotas cannot be seen. {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    finally:
        await store.close()
    if as_json:
        print_json({"over": quotas.over, "quotas": [_described(each) for each in found]})
    elif not found:
        print("Nobody has used anything of a quota in its time.")
    else:
        Console(highlight=False).print(table(found, over=quotas.over))
    return 0


def _described(quota: QuotaLevel) -> dict[str, object]:
    return {"subject": quota.subject, "who": quota.who, **asdict(quota.level), "left": quota.level.left}


def table(found: Sequence[QuotaLevel], *, over: str) -> Table:
    """The quotas as a table; `over` is what happens beyond one. Pure."""
    beyond = "waits" if over == "wait" else "is refused"
    more = f", and {len(found) - MOST_SHOWN} more with --json" if len(found) > MOST_SHOWN else ""
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black", caption_justify="left")
    grid.caption = f"Who is over a quota {beyond}{more}."
    grid.add_column("whose", overflow="ellipsis", no_wrap=True)
    for head in ("limit", "used", "left", "of", "frees in"):
        grid.add_column(head, justify="left" if head == "limit" else "right", no_wrap=True)
    for quota in found[:MOST_SHOWN]:
        level = quota.level
        left = level.left
        colour = "red" if left <= 0 else "yellow" if left < _TIGHT * level.count else ""
        grid.add_row(
            Text.assemble((quota.subject, "bold"), f" {quota.who}"),
            level.name,
            _amount(level.dimension, level.used + level.reserved),
            Text(_amount(level.dimension, left), style=colour),
            _amount(level.dimension, level.count),
            "-" if level.frees_ms is None else duration(level.frees_ms / 1000),
        )
    return grid


def _amount(dimension: str, number: int) -> str:
    return dollars(number / MICRO_USD) if dimension == "usd" else f"{number:,}"
