"""The work of `optimizer alerts`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Engine as Database

from optimizer_config.alert_settings import AnySink
from optimizer_config.errors import ConfigError
from optimizer_config.guess import did_you_mean
from optimizer_config.model import Config
from optimizer_ops.alerts import register
from optimizer_ops.alerts.kinds import NAMES
from optimizer_ops.alerts.message import trial
from optimizer_ops.alerts.render import Picture, lines
from optimizer_ops.alerts.sinks.build import build
from optimizer_ops.alerts.sinks.sink import NotTold
from optimizer_ops.ask_history import ask_history
from optimizer_ops.history.database import DatabaseUnavailable, check_version, open_engine, reading, writing
from optimizer_ops.history.reader import History
from optimizer_ops.terminal.output import print_json, print_lines, screen
from optimizer_service.exit_codes import EXIT_CONFIG, EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE

_PREFIX = "optimizer."


def show(config: Config, since: float, *, as_json: bool) -> int:
    """Print the alerts; returns the exit code."""
    try:
        with _opened(config) as database, reading(database) as connection:
            check_version(connection)
            now = time.time()
            silenced, troubles = register.silenced(connection, now), register.troubles(connection, since)
    except DatabaseUnavailable as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE

    def shown(history: History) -> int:
        picture = Picture(alerts=history.alerts(since), silenced=silenced, not_told=troubles)
        if as_json:
            print_json(picture)
        else:
            console, width = screen()
            print_lines(console, lines(picture, [sink.name for sink in config.alerts.sinks], now, width))
        return 0

    return ask_history(config, shown)


async def try_sinks(config: Config, name: str | None, *, as_json: bool) -> int:
    """Send a test to one sink or all; returns the exit code."""
    sinks = [sink for sink in config.alerts.sinks if name in {None, sink.name}]
    if not sinks:
        names = [sink.name for sink in config.alerts.sinks]
        why = f'there is no sink "{name}"{did_you_mean(name, names) or "."}' if name and names else _NOBODY
        print(f"optimizer: {why}", file=sys.stderr)
        return EXIT_CONFIG
    went = {}
    for sink in sinks:
        went[sink.name] = await _try(sink, config.prefix)
        if not as_json:
            print(f"{sink.name}: {went[sink.name] or 'told'}", flush=True)
    if as_json:
        print_json({"sinks": went})
    return EXIT_FAILED if any(went.values()) else 0


_NOBODY = "nobody is told of alerts: write [[alerts.sinks]] into optimizer.toml (see docs/operations.md, Alerts)."


async def _try(sink: AnySink, deployment: str) -> str:
    """Why it did not go; empty if it did."""
    try:
        await build(sink).tell(trial(deployment, time.time()))
    except (NotTold, ConfigError) as error:
        return str(error)
    return ""


def silence(config: Config, written: str, for_s: float) -> int:
    """Tell nobody of an alert for so long; returns the exit code."""
    name, _, subject = written.partition("/")
    name = name if name.startswith(_PREFIX) else _PREFIX + name
    if name not in NAMES:
        print(f'optimizer: there is no alert "{name}"{did_you_mean(name, NAMES)}', file=sys.stderr)
        return EXIT_USAGE
    chosen, now = f"{name}/{subject}" if subject else name, time.time()
    try:
        with _opened(config) as database, writing(database) as connection:
            check_version(connection)
            register.silence(connection, chosen, now + for_s)
    except DatabaseUnavailable as error:
        print(f"optimizer: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now + for_s))
    print(f"Nobody is told of {chosen} until {until}." if for_s else f"People are told of {chosen} again.")
    return 0


@contextmanager
def _opened(config: Config) -> Iterator[Database]:
    database = open_engine(config.history_url)
    try:
        yield database
    finally:
        database.dispose()
