"""Looks once at the present and the past, and prints what was seen."""

import asyncio
import sys

from rich.console import Console

from optimizer_config.model import Config
from optimizer_ops.live.live import Live
from optimizer_ops.status.page import page
from optimizer_ops.status.past import past_of
from optimizer_ops.status.report import Report, report_of
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_FAILED


async def status(config: Config, *, as_json: bool) -> int:
    """Print how the fleet does; returns 0, or 1 if something is critical."""
    report = await look(config)
    if as_json:
        print_json(report)
    else:
        console = Console(highlight=False)
        console.print(page(report, console.width))
    sys.stdout.flush()
    return 0 if report.ok else EXIT_FAILED


async def look(config: Config) -> Report:
    """What is to be seen now."""
    async with Live(config) as live:
        now, past = await asyncio.gather(live.look(), asyncio.to_thread(past_of, config))
    return report_of(now, past)
