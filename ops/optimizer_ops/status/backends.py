"""`optimizer backends`: a line for each backend, or all of some."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend, Config
from optimizer_ops.live.live import Live
from optimizer_ops.live.status import LiveStatus
from optimizer_ops.status.detail import Detail, detail_of
from optimizer_ops.status.detail_page import detail_page
from optimizer_ops.status.page import backends_table
from optimizer_ops.status.past import past_of
from optimizer_ops.status.report import report_of
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_UNAVAILABLE


async def backends(config: Config, names: Sequence[str], *, as_json: bool) -> int:
    """Print these backends in full, or a line for each; returns the exit code."""
    try:
        wanted = [config.backend(name) for name in names]
    except ConfigError as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_CONFIG
    async with Live(config) as live:
        status = await live.look(also=[backend.name for backend in wanted])
    if not status.redis.there:
        print(f"optimizer: What Redis tells is missing. {status.redis.problem}", file=sys.stderr)
    console = Console(highlight=False)
    if wanted or as_json:
        shown = wanted or [config.backends[backend.name] for backend in status.backends]
        details = await asyncio.to_thread(_details, config, shown, status)
        if as_json:
            print_json({"at": status.at, "backends": [_described(each) for each in details]})
        else:
            _show(console, details, status.at)
    else:
        report = report_of(status, await asyncio.to_thread(past_of, config))
        console.print(Padding(backends_table(report, console.width - 2), (0, 1)))
    sys.stdout.flush()
    return 0 if status.redis.there else EXIT_UNAVAILABLE


def _details(config: Config, wanted: Sequence[Backend], status: LiveStatus) -> list[Detail]:
    found = (detail_of(config, backend, status) for backend in wanted)
    return [detail for detail in found if detail is not None]


def _described(detail: Detail) -> dict[str, Any]:
    """All of a backend in one flat object."""
    fields: dict[str, Any] = msgspec.to_builtins(detail)
    return {**fields.pop("status"), **fields}


def _show(console: Console, details: Sequence[Detail], now: float) -> None:
    for number, detail in enumerate(details):
        if number:
            console.print(Text())
        console.print(detail_page(detail, now, console.width))
