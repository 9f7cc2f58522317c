"""The screen of `optimizer backends NAME`. Pure; 80 columns are enough for it."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from optimizer_ops.formatting.moments import clock
from optimizer_ops.formatting.sums import cost
from optimizer_ops.formatting.units import UNKNOWN, count_of, dollars, duration, milliseconds, percent
from optimizer_ops.live.status import BackendStatus, LimitUse
from optimizer_ops.status.detail import Detail
from optimizer_ops.status.page import DIM, WIDEST, limit_colour
from optimizer_ops.status.state import states
from optimizer_ops.terminal.bar import bar

_FAILURES_MOST = 8
# The bar and the numbers of a limit, as wide as they get.
_BESIDE_NAMES = 66


def detail_page(detail: Detail, now: float, width: int) -> RenderableType:
    """One backend in full, for a terminal that is so wide."""
    inner = min(width, WIDEST) - 2
    status = detail.status
    facts = Table.grid(padding=(0, 1))
    facts.add_column(width=9, no_wrap=True, style=DIM)
    facts.add_column()
    state = Text(", ").join(Text(word, style=colour) for word, colour in states(status, now))
    facts.add_row("state", state)
    facts.add_row("models", Text(", ".join(status.models)))
    facts.add_row("routes", Text(", ".join(status.routes) or "none"))
    facts.add_row("workers", _workers(status))
    facts.add_row("breaker", Text(_breaker(detail)))
    facts.add_row("queues", Text(_queues(detail)))
    facts.add_row("last hour", Text(_hour(detail)))
    parts = [_title(detail), facts, Text(), _limits(status, now, inner)]
    if detail.failures:
        parts += [Text(), _failures(detail, now, inner)]
    return Padding(Group(*parts), (0, 1))


def _title(detail: Detail) -> Text:
    status = detail.status
    label = f"  {status.label}" if status.label != status.name else ""
    return Text.assemble((status.name, "bold"), label, (f"  {status.kind}  {detail.url}", DIM))


def _workers(status: BackendStatus) -> Text:
    if status.workers is None:
        return Text("not known: Redis is away", style="yellow")
    running = f"{status.in_flight} of {status.concurrency} calls run now"
    return Text.assemble((str(status.workers), "" if status.workers else "bold red"), f"; {running}")


def _breaker(detail: Detail) -> str:
    status, settings = detail.status, detail.breaker_settings
    if not settings.failures:
        return "off"
    now = {"open": "open", "half_open": "half open: one call tries", "closed": "closed", None: "not known"}
    return (
        f"{now[status.breaker]}; {status.breaker_failures} of the {count_of(settings.failures, 'failure')} in "
        f"{duration(settings.within_s)} that open it for {duration(settings.open_s)}"
    )


def _queues(detail: Detail) -> str:
    if any(queue.missing for queue in detail.queues):
        return "missing: a coordinator declares them when it starts"
    seen = [queue for queue in detail.queues if queue.ready is not None and queue.consumers is not None]
    if not seen:
        return "not seen"
    waiting = ", ".join(f"{queue.ready:,} {queue.priority}" for queue in seen)
    return f"{waiting} wait; {count_of(min(queue.consumers or 0 for queue in seen), 'consumer')}"


def _hour(detail: Detail) -> str:
    if detail.missing:
        return detail.missing
    hour = detail.hour
    if not hour.calls:
        return "no calls"
    return (
        f"{count_of(hour.calls, 'call')}, {hour.calls_failed:,} failed, {hour.throttled:,} of them throttled; "
        f"p50 {milliseconds(hour.p50_ms)}, p95 {milliseconds(hour.p95_ms)}, p99 {milliseconds(hour.p99_ms)}; "
        f"{cost(hour)}"
    )


def _limits(status: BackendStatus, now: float, inner: int) -> RenderableType:
    if not status.limits:
        return Text("No limits are configured." if status.workers is not None else "")
    names = max(len("limit"), *(len(limit.name) for limit in status.limits))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=DIM)
    table.add_column("limit", width=min(names, inner - _BESIDE_NAMES), no_wrap=True, overflow="ellipsis")
    table.add_column("", no_wrap=True)
    for head in ("used", "reserved", "left", "of", "frees at"):
        table.add_column(head, justify="right", no_wrap=True)
    for limit in status.limits:
        colour = limit_colour(limit.share)
        numbers = (_amount(number, limit.dimension) for number in (limit.used, limit.reserved, limit.left))
        table.add_row(
            limit.name,
            Text.assemble(bar(limit.share, 8, colour), f" {percent(limit.share):>6}"),
            *numbers,
            _count(limit),
            UNKNOWN if limit.frees_at is None else clock(limit.frees_at, now),
        )
    return table


def _count(limit: LimitUse) -> Text:
    if limit.count == limit.configured:
        return Text(_amount(limit.count, limit.dimension))
    instead = f" (configured: {_amount(limit.configured, limit.dimension)})"
    return Text.assemble((_amount(limit.count, limit.dimension), "magenta"), (instead, DIM))


def _failures(detail: Detail, now: float, inner: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style=DIM, width=inner)
    for head in ("failed", "times", "last"):
        table.add_column(head, no_wrap=True, justify="right" if head == "times" else "left")
    table.add_column("what was said", ratio=1)
    for failure in detail.failures[:_FAILURES_MOST]:
        status = f" {failure.status}" if failure.status else ""
        what = Text(f"{failure.outcome}{status}", style="red")
        table.add_row(what, f"{failure.times:,}", clock(failure.last, now), Text(failure.message or UNKNOWN))
    return table


def _amount(number: float, dimension: str) -> str:
    return dollars(number) if dimension == "usd" else f"{number:,.0f}"
