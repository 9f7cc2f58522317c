"""The live table. Pure: from the state of a run to something that rich can print; 80 × 24 is enough for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer_ops.demo.request_log import BackendRecord
from optimizer_ops.demo.result import saved_share
from optimizer_ops.demo.score import FeedLine, Score, percentile
from optimizer_ops.simulator.question import echo_of
from optimizer_ops.terminal.bar import bar

WIDEST = 116
# What is above and below the feed in 24 lines.
_OTHER_LINES = 17
_FEED_MOST = 12
_SOURCES = (("cache", "from cache", "green"), ("collapsed", "collapsed", "cyan"), ("backend", "from a backend", "blue"))


@dataclass(frozen=True, slots=True)
class View:
    """What is to be seen now. `now` is on the monotonic clock of the request logs; `elapsed_s` since the load began."""

    phase: str
    elapsed_s: float
    seconds: float
    agents: int
    score: Score
    records: Sequence[BackendRecord]
    running_workers: Mapping[str, int]
    now: float

    @property
    def upstream_calls(self) -> int:
        """All calls that reached a backend."""
        return sum(record.calls for record in self.records)


def screen(view: View, width: int, height: int) -> RenderableType:
    """The whole picture, for a terminal of this size."""
    width = min(width, WIDEST)
    feed_lines = max(2, min(_FEED_MOST, height - _OTHER_LINES))
    inner = width - 2
    parts = (
        _title(view, inner),
        Text(),
        _numbers(view),
        _sources(view.score, inner),
        _headline(view, inner),
        Text(),
        _backends(view, inner),
        Text(),
        _feed(view.score.feed.last(feed_lines), feed_lines, inner),
    )
    return Padding(Group(*parts), (0, 1))


def plain_line(view: View) -> str:
    """The same in one line, for where there is no terminal."""
    score = view.score
    return (
        f"{view.elapsed_s:5.1f} s  requests {score.requests:,}  answered {score.answered:,}  "
        f"from cache {score.count('cache'):,}  collapsed {score.count('collapsed'):,}  "
        f"upstream calls {view.upstream_calls:,}  saved {saved_share(view.upstream_calls, score.answered):.0%}  "
        f"p50 {milliseconds(percentile(score.all_latencies_ms, 0.5))}  errors {score.errors.total():,}"
    )


def dollars(usd: float) -> str:
    """Money, with as many digits as it takes to see it."""
    return f"${usd:.2f}" if usd >= 10 else f"${usd:.4f}"


def short(count: int) -> str:
    """A large number for a narrow column."""
    if count < 1_000:
        return str(count)
    return f"{count / 1e3:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"


def _title(view: View, width: int) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column()
    grid.add_column(justify="right")
    left = Text.assemble(("optimizer demo", "bold"), f"  {view.agents} agents, {view.phase}")
    grid.add_row(left, Text(f"{min(view.elapsed_s, view.seconds):.0f} of {view.seconds:.0f} s", style="bold"))
    share = view.elapsed_s / view.seconds if view.seconds else 1.0
    done = round(min(1.0, share) * width)
    return Group(grid, Text.assemble(("━" * done, "magenta"), ("┈" * (width - done), "bright_black")))


def _numbers(view: View) -> RenderableType:
    score = view.score
    cells = (
        (f"{score.requests:,}", "requests", "bold"),
        (f"{score.answered:,}", "answered", "bold"),
        (f"{score.count('cache'):,}", "cached", "bold green"),
        (f"{score.count('collapsed'):,}", "collapsed", "bold cyan"),
        (f"{view.upstream_calls:,}", "upstream", "bold blue"),
        (f"{saved_share(view.upstream_calls, score.answered):.0%}", "saved", "bold magenta"),
        (milliseconds(percentile(score.all_latencies_ms, 0.5)), "p50", "bold"),
        (f"{score.errors.total():,}", "errors", "bold red" if score.errors else "bold"),
    )
    grid = Table.grid(expand=True)
    for _ in cells:
        grid.add_column(justify="center", ratio=1)
    grid.add_row(*(Text(value, style=style) for value, _, style in cells))
    grid.add_row(*(Text(label, style="bright_black") for _, label, _ in cells))
    return grid


def _sources(score: Score, width: int) -> RenderableType:
    """Where the answers came from, as one bar over the whole width."""
    total = score.answered
    line = Text()
    left = width
    for source, _, style in _SOURCES:
        cells = min(left, round(width * score.count(source) / total)) if total else 0
        line.append("▄" * cells, style=style)
        left -= cells
    line.append("▄" * left, style=_SOURCES[-1][2] if total else "bright_black")
    return line


def _headline(view: View, width: int) -> Text:
    """What half of the fleet asks at this moment, and how many calls that made."""
    question = view.score.headline
    if question is None:
        return Text()
    calls = sum(record.questions[echo_of(question.text)] for record in view.records)
    tail = f" asked {view.score.asked[question]} times, {calls} {'call' if calls == 1 else 'calls'}"
    text, room = question.text, width - len(tail) - len("“”")
    shown = text if len(text) <= room else f"{text[: room - 1]}…"
    return Text.assemble((f"“{shown}”", "italic"), (tail, "cyan"))


def _backends(view: View, width: int) -> RenderableType:
    bar_width = max(8, min(36, width - 70))
    table = Table(box=SIMPLE_HEAD, expand=True, padding=0, header_style="bright_black", show_edge=False)
    table.add_column("backend", no_wrap=True)
    for name in ("workers", "calls", "now"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("budget: tightest window", no_wrap=True)
    for name in ("err", "429", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for record in view.records:
        table.add_row(*_backend_row(view, record, bar_width))
    return table


def _backend_row(view: View, record: BackendRecord, bar_width: int) -> list[Text]:
    backend = record.backend
    running = view.running_workers[backend.name]
    window, used = record.tightest(view.now)
    share = used / window.count
    colour = "red" if share > 1 else "yellow" if share > 0.85 else "green"
    budget = bar(share, bar_width, colour).append(f" {used:>2}/{window.count} in {window.words}", style="default")
    return [
        Text(backend.name, style="bold"),
        Text(str(running), style="" if running == backend.workers else "bold red"),
        Text(f"{record.calls:,}"),
        Text(str(record.in_flight)),
        budget,
        Text(str(record.errors), style="yellow" if record.errors else "bright_black"),
        Text(str(record.throttled), style="bold red" if record.throttled else "bright_black"),
        Text(short(record.input_tokens + record.output_tokens)),
        Text(dollars(view.score.cost_usd[backend.name])),
    ]


def _feed(lines: Sequence[FeedLine], height: int, width: int) -> RenderableType:
    """The last events, always of the same height, so that nothing jumps."""
    shown = [_feed_line(line, width) for line in lines]
    return Group(*shown, *(Text() for _ in range(height - len(shown))))


def _feed_line(line: FeedLine, width: int) -> Text:
    text = Text(f"{line.at_s:5.1f} s  ", style="bright_black")
    text.append(line.text, style=line.style)
    if line.times > 1:
        text.append(f"  ×{line.times}", style="bright_black")
    text.truncate(width, overflow="ellipsis")
    return text


def milliseconds(value: float | None) -> str:
    """A time for people; a dash for none."""
    if value is None:
        return "–"
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"
