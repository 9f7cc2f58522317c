"""Prints events as they happen: `optimizer events`, `python -m optimizer_ops.event_monitor 'optimizer.*'`.

It subscribes with a bounded queue of its own: a slow terminal loses the oldest events and hinders nobody.
"""

import argparse
import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.text import Text

from optimizer_config.guess import did_you_mean
from optimizer_ops.terminal.output import print_json
from optimizer_service.exit_codes import EXIT_INTERNAL, EXIT_NOT_PERMITTED, EXIT_UNAVAILABLE
from optimizer_service.lifetime import LONGEST_PAUSE_S, first_of, run, stop_on_signals
from optimizer_wire.backoff import backoff_s
from optimizer_wire.broker_errors import BrokerUnavailable, NotPermitted, TopologyDiffers
from optimizer_wire.cancellation import set_within
from optimizer_wire.codec import decode
from optimizer_wire.deliveries import Delivery
from optimizer_wire.errors import InvalidRequest
from optimizer_wire.events import KINDS, Event
from optimizer_wire.ids import new_id
from optimizer_wire.session import Session
from optimizer_wire.topology import Names, event_queue, shared_topology, topic_pattern

_STYLES = {
    "hit": "green",
    "collapsed": "green",
    "failed": "red",
    "error": "red",
    "rate_limit": "yellow",
    "retry": "yellow",
}
_WORDS = {"*": r"\.[^.]+", "#": r"(\.[^.]+)*"}
_SHOWN = ("agent", "task", "backend", "model", "outcome", "error_code", "waiters", "attempt", "message")


async def monitor(url: str, prefix: str, patterns: Sequence[str], as_json: bool, count: int | None) -> int:
    """Print events that match any of the patterns until stopped; returns the exit code."""
    for doubt in unknown_patterns(patterns):
        print(f"optimizer: warning: {doubt}", file=sys.stderr)
    with suppress(OSError):  # no file at all, as in tests
        # A terminal or a supervisor may have set it so; what it does not take at once would be lost.
        os.set_blocking(sys.stdout.fileno(), True)
    stop = stop_on_signals()
    printer = _Printer(_line if as_json else _Pretty().show, count, stop)
    attempt = 0
    while not stop.is_set():
        try:
            async with await Session.open(url, "optimizer event monitor") as session:
                await _listen(session, Names(prefix), patterns, printer)
                attempt = 0
            if not stop.is_set():
                print("optimizer: the connection to RabbitMQ was lost; connecting again", file=sys.stderr)
        except NotPermitted as error:
            print(f"optimizer: {error}", file=sys.stderr)
            return EXIT_NOT_PERMITTED
        except (BrokerUnavailable, TopologyDiffers) as error:
            print(f"optimizer: {error}", file=sys.stderr)
            # At the start it is as likely a wrong address as a broker that restarts.
            if not printer.listened:
                return EXIT_UNAVAILABLE
        await set_within(stop, backoff_s(attempt, cap_s=LONGEST_PAUSE_S))
        attempt += 1
    if printer.unread is not None:
        # What is still to be flushed when the process ends would be one more error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if printer.unread is None or isinstance(printer.unread, BrokenPipeError):
        return 0  # `optimizer events | head`
    print(f"optimizer: events cannot be printed any more: {printer.unread}", file=sys.stderr)
    return EXIT_INTERNAL


def unknown_patterns(patterns: Sequence[str]) -> list[str]:
    """A sentence about each pattern that no documented kind of event matches; it may be one of a newer version."""
    stems = {stem for kind in KINDS for stem in (kind, kind.rpartition(".")[0] + ".*")}
    begin = "optimizer."
    return [
        f'no event in docs/events.md matches "{pattern}"'
        f"{did_you_mean(begin + pattern.removeprefix(begin), stems) or '.'}"
        for pattern in patterns
        if not any(topic_matches(topic_pattern(pattern), kind) for kind in KINDS)
    ]


def topic_matches(topic: str, kind: str) -> bool:
    """As a topic exchange matches: `*` is one word, `#` any number of them."""
    return (
        re.fullmatch("".join(_WORDS.get(word, rf"\.{re.escape(word)}") for word in topic.split(".")), f".{kind}")
        is not None
    )


class _Printer:
    """Shows events, `count` of them at most; `listened` says whether it ever could."""

    def __init__(self, show: Callable[[Event], None], count: int | None, stop: asyncio.Event) -> None:
        self._show = show
        self._left = count
        self.stop = stop
        self.listened = False
        # Why nobody reads any more.
        self.unread: OSError | UnicodeError | None = None

    def deliver(self, message: Delivery) -> None:
        """Show one event."""
        if self.stop.is_set():
            return  # what had already arrived when the last one was shown
        try:
            self._show(decode(message.body, Event))
        except (InvalidRequest, TypeError, RecursionError) as error:
            # The latter two: what msgpack can say and JSON cannot, somewhere in a usage.
            print(f"optimizer: an event could not be read: {error}", file=sys.stderr)
            return
        except (OSError, UnicodeError) as error:
            self.unread = error
            self.stop.set()
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.stop.set()


async def _listen(session: Session, names: Names, patterns: Sequence[str], printer: _Printer) -> None:
    channel = await session.channel()
    await session.declare(shared_topology(names))
    queue = event_queue(names.event_queue(session.user, new_id()))
    await channel.declare_queue(queue)
    for pattern in patterns:
        await channel.bind(queue.name, names.events, topic_pattern(pattern))
    await channel.consume(queue.name, printer.deliver, no_ack=True, on_cancel=session.lost.set)
    print(f"optimizer: listening to {', '.join(patterns)} on {names.events}", file=sys.stderr)
    printer.listened = True
    await first_of(printer.stop, session.lost)


def _line(event: Event) -> None:
    print_json(event)


class _Pretty:
    """One aligned line an event: time, type, and the fields that a person looks for."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)

    def show(self, event: Event) -> None:
        """Print one event."""
        style = next((style for part, style in _STYLES.items() if event.type.endswith(part)), "cyan")
        line = Text(time.strftime("%H:%M:%S ", time.localtime(event.time)), style="dim")
        line.append(f"{event.type.removeprefix('optimizer.'):<18}", style=style)
        for name in _SHOWN:
            value: Any = getattr(event, name)
            if value is not None:
                line.append(f" {name}=", style="dim").append(str(value))
        if event.timings is not None:
            line.append(" ms=", style="dim").append(f"{event.timings.total_ms:.0f}")
        if event.cost_usd:
            line.append(" usd=", style="dim").append(f"{event.cost_usd:.6f}")
        self._console.print(line)


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m optimizer_ops.event_monitor`: returns the exit code."""
    from optimizer_ops.configuration import configuration

    parser = argparse.ArgumentParser(prog="event_monitor", description="Print events as they happen.")
    parser.add_argument("patterns", nargs="*", default=["optimizer.*"], help="types; a trailing .* means all below")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--count", type=int, help="stop after so many")
    parser.add_argument("--config", help="optimizer.toml")
    options = parser.parse_args(argv)
    config = configuration(options.config)
    return run(monitor(config.amqp_url, config.prefix, options.patterns, options.json, options.count))


if __name__ == "__main__":
    sys.exit(main())
