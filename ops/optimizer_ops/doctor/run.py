"""Examines everything at once, and prints what was found."""

import asyncio
import sys
from collections.abc import Sequence

from rich.console import Console

from optimizer_config.model import Config
from optimizer_ops.doctor import broker_check, fleet, keys, limits, machine, redis_check, rights
from optimizer_ops.doctor.finding import Area, Finding
from optimizer_ops.doctor.render import shown
from optimizer_ops.live.live import Live
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_FAILED


async def doctor(config: Config, *, as_json: bool) -> int:
    """Print what is right and what is not; returns 0, or 1 if something failed."""
    console = Console(highlight=False)
    if not as_json and console.is_terminal:
        with Console(stderr=True).status("Looking …"):
            findings = await examine(config)
    else:
        findings = await examine(config)
    ok = all(finding.verdict != "failed" for finding in findings)
    if as_json:
        print_json({"ok": ok, "findings": findings})
    else:
        console.print(shown(findings, console.width))
    sys.stdout.flush()
    return 0 if ok else EXIT_FAILED


async def examine(config: Config) -> list[Finding]:
    """Everything that is found, in the order in which it matters."""
    async with Live(config) as live:
        status, broker, redis, users = await asyncio.gather(
            live.look(), broker_check.examine(config), redis_check.examine(config), rights.examine(config)
        )
    past = await asyncio.to_thread(fleet.history, config, status)
    parts: Sequence[list[Finding]] = (
        _configuration(config),
        broker,
        users,
        redis,
        fleet.examine(status),
        keys.examine(config, status),
        limits.examine(config, status),
        past,
        machine.examine(config),
    )
    return [finding for part in parts for finding in part]


def _configuration(config: Config) -> list[Finding]:
    area = Area("configuration")
    if config.path is None:
        area.ok("No file: the defaults and the environment hold.")
    else:
        area.ok(f"{config.path} is right.")
    for warning in config.warnings:
        area.warning(warning, "optimizer config show --origin says where each value comes from.")
    return area.findings
