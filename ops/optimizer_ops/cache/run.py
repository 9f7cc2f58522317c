"""What the commands of the cache do; each returns an exit code and prints one sentence on what is wrong."""

import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from optimizer_config.model import Config
from optimizer_ops.cache import lookup, render
from optimizer_ops.cache.flush import FlushTally
from optimizer_ops.cache.flush import flush as run_flush
from optimizer_ops.cache.flush_event import tell
from optimizer_ops.cache.flush_summary import sentence
from optimizer_ops.cache.stats import SAMPLE, look
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.history.views import Totals
from optimizer_ops.operator_events import who
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_FAILED, EXIT_UNAVAILABLE
from optimizer_service.lifetime import run
from optimizer_state.selection import Selection
from optimizer_state.store import RedisAway, Store

_DAY_S = 24 * 3600


def stats(config: Config, *, exact: bool, as_json: bool) -> int:
    """Print how the cache stands."""

    async def work(store: Store) -> int:
        with _progress("Looking at answers") as progress:
            seen = await look(store, at_most=None if exact else SAMPLE, progress=progress)
        day = _last_day(config)
        if as_json:
            known = None if isinstance(day, str) else {**msgspec.to_builtins(day), "hit_rate": day.hit_rate}
            print_json({**msgspec.to_builtins(seen), "last_24h": known})
        else:
            Console(highlight=False).print(render.stats_page(seen, day))
        return 0

    return _run(config, work)


def inspect_one(config: Config, fingerprint: str, *, text: bool, as_json: bool) -> int:
    """Print what is known of one answer."""

    async def work(store: Store) -> int:
        try:
            got = await lookup.one(store, fingerprint)
        except lookup.Ambiguous as error:
            print(f"optimizer: {error}", file=sys.stderr)
            return EXIT_FAILED
        if got is None:
            print(f"optimizer: No answer is stored under {fingerprint}: it was never, or is gone.", file=sys.stderr)
            return EXIT_FAILED
        if as_json:
            print(render.answer_json(*got, text=text))
        else:
            print(render.answer_page(*got, store.clock.now_ms(), text=text))
        return 0

    return _run(config, work)


def inspect(config: Config, what: Selection, *, limit: int, as_json: bool) -> int:
    """Print which answers are meant."""

    async def work(store: Store) -> int:
        with _progress("Looking at answers") as progress:
            got = await lookup.several(store, what, limit=limit, progress=progress)
        if as_json:
            print(render.found_json(got))
        else:
            console = Console(highlight=False)
            # A file has no width.
            console.width = console.width if console.is_terminal else 200
            console.print(render.entries_page(got, store.clock.now_ms()))
        return 0

    return _run(config, work)


def flush(
    config: Config,
    what: Selection,
    *,
    older_than_s: int | None,
    dry_run: bool,
    as_json: bool,
    confirm: Callable[[FlushTally], None] | None,
) -> int:
    """Remove the answers that are meant, once `confirm` has been shown how many they are."""

    async def work(store: Store) -> int:
        if dry_run or confirm is not None:
            with _progress("Counting") as progress:
                counted = await run_flush(store, what, older_than_s=older_than_s, dry_run=True, progress=progress)
            if dry_run:
                return _told(counted, as_json=as_json)
        if confirm is not None:
            confirm(counted)
        with _progress("Removing") as progress:
            tally = await run_flush(store, what, older_than_s=older_than_s, progress=progress)
        untold = await tell(config, store, tally, who())
        if untold:
            print(f"optimizer: warning: {untold}", file=sys.stderr)
        return _told(tally, as_json=as_json)

    return _run(config, work)


def _told(tally: FlushTally, *, as_json: bool) -> int:
    print(msgspec.json.encode(tally).decode() if as_json else sentence(tally))
    return 0


def _last_day(config: Config) -> Totals | str:
    try:
        history = History.open(config.history_url)
        try:
            return history.totals(time.time() - _DAY_S)
        finally:
            history.close()
    except HistoryUnavailable as error:
        return f"not known. {error}"


def _run(config: Config, work: Callable[[Store], Awaitable[int]]) -> int:
    async def whole() -> int:
        store = Store(config.redis_url, config.prefix)
        try:
            return await work(store)
        except RedisAway as error:
            print(f"optimizer: The cache cannot be reached. {error}", file=sys.stderr)
            return EXIT_UNAVAILABLE
        finally:
            await store.close()

    return run(whole())


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere; it goes when the work is done."""
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("keys"), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda looked, keys: progress.update(task, completed=looked, total=keys)
