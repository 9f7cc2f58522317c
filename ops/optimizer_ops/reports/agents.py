"""`optimizer agents`: every agent ever seen, what it asks for, and how it fares."""

import sys
import time
from collections.abc import Sequence

import msgspec
from rich.text import Text

from optimizer_config.guess import did_you_mean
from optimizer_ops.formatting.moments import ago, day
from optimizer_ops.formatting.sums import cost, saved
from optimizer_ops.formatting.units import UNKNOWN, count_of, milliseconds, percent
from optimizer_ops.history.reader import History
from optimizer_ops.history.views import AgentProfile, Dimension, Share
from optimizer_ops.reports.calls import table
from optimizer_ops.reports.costs import described
from optimizer_ops.reports.money import headline
from optimizer_ops.terminal.grid import Cell, Head, grid
from optimizer_ops.terminal.output import print_json, print_lines, screen
from optimizer_service.exit_codes import EXIT_FAILED

_LATEST = 5
_COLOURS = {"well": "green", "failing": "red", "silent": "yellow"}
_HEADS = (
    Head("agent", least=24, style="bold"),
    Head("health"),
    Head("last seen", right=True),
    Head("requests", right=True),
    Head("hit rate", rank=3, right=True),
    Head("errors", rank=1, right=True),
    Head("cost", right=True),
    Head("saved", rank=2, right=True, style="green"),
    Head("p95", rank=5, right=True),
    Head("backends", rank=4, least=20),
    Head("tasks", rank=6, least=12),
    Head("last error", rank=7, least=20),
    Head("tenant", rank=8),
)


def agents(history: History, since: float, *, as_json: bool) -> int:
    """Print all agents, the one that was seen last first; sums since then."""
    found = history.agents(since)
    if as_json:
        print_json({"since": since, "agents": [_plain(each) for each in found]})
        return 0
    if not found:
        print("No agent was ever seen.", file=sys.stderr)
        return 0
    console, width = screen()
    now = time.time()
    unwell = sum(each.health != "well" for each in found) or "none"
    seen = count_of(len(found), "agent")
    head = f"{seen} seen so far, {unwell} failing or silent. Sums are those since {day(since)}."
    print_lines(console, [head, "", *grid(_HEADS, [_row(each, now) for each in found], width)])
    return 0


def agent(history: History, name: str, since: float, *, as_json: bool) -> int:
    """Print what is known of one agent, of each tenant that has one of this name."""
    known = history.agents(since)
    found = [each for each in known if each.agent == name]
    if not found:
        hint = did_you_mean(name, [each.agent for each in known]) or ". See optimizer agents"
        print(f"optimizer: There was never an agent {name}{hint}", file=sys.stderr)
        return EXIT_FAILED
    if as_json:
        print_json({"since": since, "agents": [_plain(each) for each in found]})
        return 0
    console, width = screen()
    for each in found:
        print_lines(console, _page(history, each, since, width))
    return 0


def _plain(each: AgentProfile) -> dict[str, object]:
    return {**msgspec.to_builtins(each), "totals": described(each.totals)}


def _row(each: AgentProfile, now: float) -> Sequence[Cell]:
    totals = each.totals
    return (
        each.agent,
        Text(each.health, style=_COLOURS[each.health]),
        ago(each.last_seen, now),
        f"{totals.requests:,}",
        percent(totals.hit_rate),
        percent(totals.error_rate),
        cost(totals),
        saved(totals),
        milliseconds(totals.p95_ms),
        _names(each.backends),
        _names(each.tasks),
        f"{each.last_error_code} {ago(each.last_error, now)}" if each.last_error else UNKNOWN,
        each.tenant,
    )


def _names(numbers: dict[str, int]) -> str:
    return ", ".join(numbers) or UNKNOWN


def _page(history: History, each: AgentProfile, since: float, width: int | None) -> list[Text | str]:
    now = time.time()
    lines: list[Text | str] = [
        Text.assemble(
            (each.agent, "bold"), (f" of tenant {each.tenant}  ", "bright_black"), (each.health, _COLOURS[each.health])
        ),
        f"First seen {day(each.first_seen)}, last {ago(each.last_seen, now)}.",
        f"Last error: {each.last_error_code} {ago(each.last_error, now)}." if each.last_error else "No error so far.",
        headline(each.totals, day(since)),
    ]
    dimensions: tuple[Dimension, ...] = ("backend", "task")
    for by in dimensions:
        shares = history.shares(by, since, agent=each.agent, tenant=each.tenant)
        lines += ["", *_shares(f"by {by}", shares, width)] if shares else []
    latest = history.requests(since, limit=_LATEST, agent=each.agent, tenant=each.tenant)
    failed = history.requests(since, limit=_LATEST, failed=True, agent=each.agent, tenant=each.tenant)
    for title, rows in (("latest requests", latest), ("latest errors", failed)):
        lines += ["", Text(title, style="bold"), *table(rows, width, now)] if rows else []
    return [*lines, ""]


def _shares(title: str, shares: Sequence[Share], width: int | None) -> list[Text]:
    heads = (
        Head(title, least=24, style="bold"),
        Head("requests", right=True),
        Head("hit rate", rank=2, right=True),
        Head("errors", rank=1, right=True),
        Head("calls", right=True),
        Head("cost", right=True),
        Head("saved", right=True, style="green"),
        Head("p50", rank=4, right=True),
        Head("p95", rank=3, right=True),
    )
    rows = [
        (
            each.name or "(none)",
            f"{each.totals.requests:,}",
            percent(each.totals.hit_rate),
            percent(each.totals.error_rate),
            f"{each.totals.calls:,}",
            cost(each.totals),
            saved(each.totals),
            milliseconds(each.totals.p50_ms),
            milliseconds(each.totals.p95_ms),
        )
        for each in shares
    ]
    return grid(heads, rows, width)
