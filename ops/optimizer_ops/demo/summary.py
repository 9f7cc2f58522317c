"""The tables at the end. Pure: from a result to something that rich can print."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer_ops.demo.result import CUT_OFF, Latency, Result, WindowUse
from optimizer_ops.demo.screen import dollars, milliseconds, short

_LATENCIES = (
    ("all", "all answers"),
    ("cache", "from cache"),
    ("collapsed", "collapsed"),
    ("backend", "from a backend"),
)


def summary(result: Result) -> RenderableType:
    """Everything that was measured, then the verdict."""
    return Padding(
        Group(
            _numbers(result),
            Text(),
            _latencies(result),
            Text(),
            _backends(result),
            Text(),
            *(_trouble(trouble) for trouble in result.troubles),
            *(_verdict(verdict.ok, verdict.sentence) for verdict in result.verdicts),
        ),
        (1, 1, 0, 1),
    )


def _numbers(result: Result) -> RenderableType:
    rows = (
        ("requests", _requests(result)),
        ("answers", _answers(result)),
        ("upstream calls", _upstream(result)),
        (
            "saved",
            f"{result.saved_share:.1%} of the answers needed no call; {result.repeats_share:.1%} of the load repeats",
        ),
        ("cost", _cost(result)),
    )
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bright_black", no_wrap=True)
    grid.add_column()
    for name, words in rows:
        grid.add_row(name, Text(words, style="bold magenta" if name == "saved" else ""))
    return grid


def _requests(result: Result) -> str:
    errors = ", ".join(f"{count:,} × {code}" for code, count in sorted(result.errors.items())) or "none"
    return f"{result.requests:,} by {result.agents} agents, {result.answered:,} answered; errors: {errors}"


def _answers(result: Result) -> str:
    own = result.latency_ms["backend"].count
    return f"{result.cache_hits:,} from cache, {result.collapsed:,} collapsed, {own:,} by a call of their own"


def _upstream(result: Result) -> str:
    calls = f"{result.upstream_calls:,} for {result.distinct_questions:,} different questions"
    return f"{calls}, by the backends' own request logs; {_failures(result)}"


def _failures(result: Result) -> str:
    """What of the calls did not end with an answer."""
    words = [
        f"{count:,} cut off at {backend.name}" if status == CUT_OFF else f"{count:,} × {status} from {backend.name}"
        for backend in result.backends
        for status, count in backend.statuses.items()
        if status != "200"
    ]
    return ", ".join(words) or "none failed"


def _cost(result: Result) -> str:
    words = f"{dollars(result.cost_usd)} at the providers' list prices, {dollars(result.cost_saved_usd)} saved"
    return f"{words}; {result.unpriced_calls:,} calls have no price" if result.unpriced_calls else words


def _latencies(result: Result) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bright_black", show_edge=False)
    table.add_column("latency at agents", no_wrap=True)
    for name in ("answers", "p50", "p95", "p99", "longest"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, name in _LATENCIES:
        latency = result.latency_ms[key]
        table.add_row(name, f"{latency.count:,}", *_percentiles(latency))
    return table


def _percentiles(latency: Latency) -> list[str]:
    values = (latency.p50, latency.p95, latency.p99, latency.longest)
    return [milliseconds(value) for value in values]


def _backends(result: Result) -> RenderableType:
    """The fullest windows beside their limits: each backend has a short one, one of a minute, and calls at once."""
    table = Table(box=SIMPLE_HEAD, padding=0, header_style="bright_black", show_edge=False)
    for name in ("backend", "fullest", "windows"):
        table.add_column(name, no_wrap=True)
    for name in ("at once", "calls", "fail", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for backend in result.backends:
        short_window, minute = (_use(use) for use in backend.windows)
        table.add_row(
            Text(backend.name, style="bold"),
            short_window,
            minute,
            _use(backend.concurrency),
            f"{backend.calls:,}",
            f"{backend.failed:,}",
            short(backend.input_tokens + backend.output_tokens),
            dollars(backend.cost_usd),
        )
    return table


def _use(use: WindowUse) -> Text:
    text = Text(f"{use.most}/{use.limit}", style="green" if use.held else "bold red")
    return text.append(f" in {use.per_s:g} s", style="bright_black") if use.per_s else text


def _trouble(words: str) -> Text:
    return Text.assemble(("! ", "bold yellow"), words)


def _verdict(ok: bool, sentence: str) -> Text:
    return Text.assemble(("✓ ", "bold green") if ok else ("✗ ", "bold red"), (sentence, "" if ok else "bold red"))
