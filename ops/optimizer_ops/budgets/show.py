"""`optimizer budgets`: looks once, or every second, and prints what it saw."""

import sys
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from optimizer_config.errors import ConfigError
from optimizer_config.model import Backend, Config
from optimizer_ops.budgets.described import json_line
from optimizer_ops.budgets.rows import plain
from optimizer_ops.budgets.table import table
from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_UNAVAILABLE
from optimizer_service.lifetime import stop_on_signals
from optimizer_state.level_reader import LevelsReader
from optimizer_state.levels import Levels
from optimizer_state.store import RedisAway, Store
from optimizer_wire.cancellation import set_within

WATCH_S = 1.0


async def show(config: Config, names: Sequence[str], *, watch: bool, as_json: bool) -> int:
    """Print the levels of these backends, or of all that are configured or served; returns the exit code."""
    try:
        wanted = [config.backend(name) for name in names]
    except ConfigError as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_CONFIG
    store = Store(config.redis_url, config.prefix)
    look = _Look(LevelsReader(store), config, wanted)
    try:
        if watch:
            await _watch(look, as_json)
        else:
            _once(await look.levels(), as_json)
    except RedisAway as error:
        print(f"optimizer: The budgets cannot be seen. {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    finally:
        await store.close()
    return 0


class _Look:
    """Looks at the wanted backends; without any, at all that are configured or have a live worker."""

    def __init__(self, reader: LevelsReader, config: Config, wanted: Sequence[Backend]) -> None:
        self._reader = reader
        self._named = bool(wanted)
        self._backends = list(wanted) or list(config.backends.values())
        self._configured = config.configured

    async def levels(self) -> list[Levels]:
        """What is to be shown, in the order of the configuration."""
        found = (await self._reader.of(self._backends)).values()
        return [level for level in found if self._named or level.backend in self._configured or level.workers]


def _once(levels: Sequence[Levels], as_json: bool) -> None:
    console = Console(highlight=False)
    if as_json:
        print(json_line(levels), flush=True)
    elif not levels:
        print("No backend is configured, and no worker runs: optimizer up")
    elif console.is_terminal:
        console.print(table(levels, console.width))
    else:
        print(plain(levels), flush=True)


async def _watch(look: _Look, as_json: bool) -> None:
    """Again and again until a signal; while Redis is away the last picture stays, with a sentence."""
    stop = stop_on_signals()
    console = Console(highlight=False)
    if as_json or not console.is_terminal:
        while not stop.is_set():
            _once(await look.levels(), as_json)
            await set_within(stop, WATCH_S)
        return
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while not stop.is_set():
            live.update(await _picture(look, console.width), refresh=True)
            await set_within(stop, WATCH_S)


async def _picture(look: _Look, width: int) -> RenderableType:
    try:
        return table(await look.levels(), width)
    except RedisAway as error:
        return Text(f"The budgets cannot be seen. {error}", style="red")
