"""The screen of `optimizer top`. Pure; 80 × 24 is enough for it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer_ops.formatting.moments import clock
from optimizer_ops.formatting.units import UNKNOWN, percent
from optimizer_ops.live.status import BackendStatus, LiveStatus
from optimizer_ops.status.page import DIM, WIDEST, problem_line, tightest
from optimizer_ops.status.state import states
from optimizer_ops.top.tally import Rates
from optimizer_wire.events import Event

_AGENTS_LEAST, _FEED_LEAST = 3, 4
_BAR = 8
_BAR_FROM = 100
_ENDS = {
    "hit": "green",
    "collapsed": "green",
    "finished": "green",
    "failed": "red",
    "error": "red",
    "dead": "red",
    "open": "red",
    "rate_limit": "yellow",
    "retry": "yellow",
}
_SHOWN = ("agent", "backend", "outcome", "error_code", "message")


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen now. `live` is None before the first look; `silence` says why no events come."""

    now: float
    live: LiveStatus | None
    fleet: Rates
    agents: dict[str, Rates]
    backends: dict[str, Rates]
    latest: Sequence[Event]
    silence: str = ""


def screen(view: View, width: int, height: int) -> RenderableType:
    """The whole screen, for a terminal of this size: backends, then as many agents and events as there is room for."""
    inner = min(width, WIDEST) - 2
    backends = view.live.backends if view.live else []
    worst = view.live.problems[0] if view.live and view.live.problems else None
    # Title, numbers, three heads with a blank line before each, the worst problem, and the keys.
    room = height - len(backends) - (10 if worst else 9)
    agents = max(_AGENTS_LEAST, min(len(view.agents), room - _FEED_LEAST, room // 2))
    feed = max(_FEED_LEAST, room - agents)
    parts: list[RenderableType] = [_title(view, inner), _numbers(view.fleet)]
    if worst is not None:
        parts.append(problem_line(worst, inner))
    parts += [Text(), _backends(view, inner), Text(), _agents(view, agents, inner), Text(), _feed(view, feed, inner)]
    return Padding(Group(*parts), (0, 1))


def _title(view: View, inner: int) -> Table:
    line = Table.grid(padding=0)
    hint = f"q quits  {clock(view.now, view.now)}"
    line.add_column(width=inner - len(hint), no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    title = Text.assemble(("optimizer top", "bold"), ("  a second, over the last 10", DIM))
    if view.silence:
        title.append(f"  no events: {view.silence}", style="red")
    line.add_row(title, Text(hint, style=DIM))
    return line


def _numbers(rates: Rates) -> Text:
    free = rates.hits + rates.collapsed
    saved = free / rates.requests if rates.requests else None
    return Text.assemble(
        ("requests ", DIM),
        rate(rates.requests),
        ("  from cache ", DIM),
        (rate(rates.hits), "green"),
        ("  collapsed ", DIM),
        (rate(rates.collapsed), "green"),
        ("  without a call ", DIM),
        (percent(saved), "green"),
        ("  calls ", DIM),
        rate(rates.calls),
        ("  failed ", DIM),
        (rate(rates.failed), "yellow" if rates.failed else ""),
        ("  errors ", DIM),
        (rate(rates.errors), "red" if rates.errors else ""),
    )


def rate(per_s: float) -> str:
    """`12`, `3.4`, `0.10`, `0`."""
    if not per_s:
        return "0"
    return f"{per_s:.0f}" if per_s >= 9.95 else f"{per_s:.1f}"


def _table(heads: Sequence[str], last: str, inner: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=DIM, width=inner)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    table.add_column(last, ratio=1, no_wrap=True, overflow="ellipsis")
    return table


def _backends(view: View, inner: int) -> Table:
    table = _table(("backend", "calls", "failed", "run", "wait", "tightest"), "state", inner)
    for backend in view.live.backends if view.live else []:
        rates = view.backends.get(backend.name, Rates())
        table.add_row(
            Text(backend.name, style="bold"),
            rate(rates.calls),
            Text(rate(rates.failed), style="red" if rates.failed else ""),
            UNKNOWN if backend.in_flight is None else f"{backend.in_flight}/{backend.concurrency}",
            UNKNOWN if backend.waiting is None else f"{backend.waiting:,}",
            tightest(backend, _BAR if inner >= _BAR_FROM else 0),
            _state(backend, view.now, brief=inner < _BAR_FROM),
        )
    return table


def _state(backend: BackendStatus, now: float, *, brief: bool) -> Text:
    return Text(", ").join(Text(word, style=colour) for word, colour in states(backend, now, brief=brief))


def _agents(view: View, most: int, inner: int) -> Table:
    table = _table(("agent", "requests", "from cache", "collapsed", "calls", "errors"), "", inner)
    shown = list(view.agents.items())[:most]
    for name, rates in shown:
        errors = Text(rate(rates.errors), style="red" if rates.errors else "")
        numbers = (rates.requests, rates.hits, rates.collapsed, rates.calls)
        rest = f"and {len(view.agents) - most} more" if len(view.agents) > most and name == shown[-1][0] else ""
        table.add_row(Text(name, style="bold"), *map(rate, numbers), errors, Text(rest, style=DIM))
    return table


def _feed(view: View, lines: int, inner: int) -> RenderableType:
    latest = list(view.latest)[-lines:]
    return Group(*(event_line(event, inner) for event in latest))


def event_line(event: Event, inner: int) -> Text:
    """One event on one line."""
    kind = event.type.removeprefix("optimizer.")
    line = Text(time.strftime("%H:%M:%S ", time.localtime(event.time)), style=DIM, no_wrap=True, overflow="ellipsis")
    line.append(f"{kind:<18}", style=next((colour for end, colour in _ENDS.items() if kind.endswith(end)), "cyan"))
    for name in _SHOWN:
        value = getattr(event, name)
        if value is not None:
            line.append(f" {name}=", style=DIM).append(str(value))
    if event.timings is not None:
        line.append(f" {event.timings.total_ms:.0f} ms", style=DIM)
    line.truncate(inner, overflow="ellipsis")
    return line
