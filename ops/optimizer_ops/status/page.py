"""The screen of `optimizer status`. Pure; 80 columns are enough for it."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer_ops.formatting.moments import clock
from optimizer_ops.formatting.sums import cost
from optimizer_ops.formatting.sums import saved as saved_money
from optimizer_ops.formatting.units import UNKNOWN, count_of, milliseconds, percent
from optimizer_ops.live.status import BackendStatus, LiveStatus, Problem, Service
from optimizer_ops.status.past import Past
from optimizer_ops.status.report import Report
from optimizer_ops.status.state import states
from optimizer_ops.terminal.bar import bar

WIDEST = 132
_BAR_FROM = 100
_BAR = 12
_TIGHT = 0.85
DIM = "bright_black"
_COLOURS = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_MARKS = {"critical": "✗", "warning": "!", "info": "·"}


def page(report: Report, width: int) -> RenderableType:
    """The whole screen, for a terminal that is so wide."""
    inner = min(width, WIDEST) - 2
    parts: list[RenderableType] = [
        _title(report.live, inner),
        _fleet(report),
        Text(),
        _past(report.past),
        Text(),
        backends_table(report, inner),
        Text(),
        problems_table(report.problems),
    ]
    return Padding(Group(*parts), (0, 1))


def _title(live: LiveStatus, inner: int) -> Table:
    line = Table.grid(expand=False, padding=0)
    time = clock(live.at, live.at)
    line.add_column(width=inner - len(time))
    line.add_column(justify="right")
    line.add_row(Text.assemble(("optimizer", "bold"), ("  prefix ", DIM), live.prefix), Text(time, style=DIM))
    return line


def _fleet(report: Report) -> Table:
    live, past = report.live, report.past
    grid = _grid()
    grid.add_row(Text("services", style=DIM), Text("   ").join([_service(live.rabbitmq), _service(live.redis)]))
    workers = [backend.workers for backend in live.backends if backend.workers is not None]
    known = live.redis.there
    processes = [
        _count(live.coordinators, "coordinator"),
        _count(sum(workers) if known else None, "worker"),
        _count(live.recorders, "recorder"),
    ]
    grid.add_row(Text("processes", style=DIM), Text("   ").join(processes))
    if not past.missing:
        agents = f"{past.agents_active} active in the last hour, {past.agents} ever seen"
        grid.add_row(Text("agents", style=DIM), Text(agents))
    return grid


def _service(service: Service) -> Text:
    if not service.there:
        return Text.assemble(service.name, (" is away", "bold red"))
    if service.takes_nothing:
        return Text.assemble(service.name, f" {service.version}", (" takes no messages", "bold red"))
    return Text.assemble(service.name, f" {service.version}", (f" {service.latency_ms or 0:.1f} ms", DIM))


def _count(number: int | None, thing: str) -> Text:
    if number is None:
        return Text(f"{thing}s not seen", style="yellow")
    return Text(count_of(number, thing), style="" if number else "bold red")


def _past(past: Past) -> RenderableType:
    today, week = past.today, past.week
    grid = _grid()
    if past.missing:
        grid.add_row(Text("history", style=DIM), Text(past.missing))
        return grid
    grid.add_row(
        Text("requests", style=DIM),
        Text(
            f"{today.requests:,} today, {percent(today.hit_rate)} without a call, "
            f"{percent(today.error_rate)} errors, p95 {milliseconds(today.p95_ms)}"
        ),
    )
    for word, span, totals in (("saved", "today ", today), ("", "7 days", week)):
        saved = f"{saved_money(totals)} and {count_of(totals.saved_calls, 'call')}"
        spent = f"; spent {cost(totals)} on {count_of(totals.calls, 'call')}"
        grid.add_row(Text(word, style=DIM), Text.assemble(f"{span} ", (saved, "green"), spent))
    return grid


def _grid() -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=9, no_wrap=True)
    grid.add_column()
    return grid


def backends_table(report: Report, inner: int) -> RenderableType:
    """A line for each backend."""
    live, past = report.live, report.past
    if not live.backends:
        return Text("No backend is configured, and no worker runs: optimizer up", style="yellow")
    wide = inner >= _BAR_FROM
    table = Table(box=None, padding=(0, 2, 0, 0), width=inner, header_style=DIM)
    for head, justify in (
        ("backend", "left"),
        ("workers", "right"),
        ("tightest limit", "left"),
        ("errors/h", "right"),
        ("p95", "right"),
    ):
        table.add_column(head, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("state", ratio=1)
    for backend in live.backends:
        totals = past.backends.get(backend.name)
        table.add_row(
            Text(backend.name, style="bold"),
            UNKNOWN if backend.workers is None else str(backend.workers),
            tightest(backend, _BAR if wide else 0),
            UNKNOWN if past.missing else f"{totals.calls_failed if totals else 0:,}",
            milliseconds(totals.p95_ms if totals else None),
            _state(backend, live.at, brief=not wide),
        )
    return table


def limit_colour(share: float) -> str:
    """Green while there is room, yellow when little is left, red when more is used than the limit."""
    return "red" if share > 1 else "yellow" if share >= _TIGHT else "green"


def tightest(backend: BackendStatus, bar_width: int) -> Text:
    """The limit of which most is used, with a bar if there is room for one."""
    limit = backend.tightest
    if limit is None:
        return Text(UNKNOWN)
    colour = limit_colour(limit.share)
    words = Text(f"{limit.name} ")
    if bar_width:
        words.append_text(bar(limit.share, bar_width, colour)).append(" ")
    return words.append(percent(limit.share), style=colour if limit.share >= _TIGHT else "")


def _state(backend: BackendStatus, now: float, *, brief: bool) -> Text:
    words = [Text(word, style=colour) for word, colour in states(backend, now, brief=brief)]
    if backend.waiting:
        words.append(Text(f"{backend.waiting:,} wait", style=DIM))
    return Text(", ").join(words)


def problems_table(problems: Sequence[Problem]) -> RenderableType:
    """What is wrong and what to do, the worst first; or that nothing is."""
    if not problems:
        return Text("No problems.", style="green")
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column()
    for problem in problems:
        colour = _COLOURS[problem.severity]
        grid.add_row(Text(_MARKS[problem.severity], style=colour), Text(problem.message, style=colour))
        grid.add_row("", Text(f"→ {problem.what_to_do}"))
    return grid


def problem_line(problem: Problem, inner: int) -> Text:
    """A problem on one line, without what to do."""
    line = Text(f"{_MARKS[problem.severity]} {problem.message}", style=_COLOURS[problem.severity], no_wrap=True)
    line.truncate(inner, overflow="ellipsis")
    return line
