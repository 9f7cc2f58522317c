"""What the measurements are held against."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from tests.bench.asking import BARE, OURS
from tests.bench.parts import added, cached, collapsed, cost, rivals, start, uncached
from tests.bench.proxies import LITELLM
from tests.bench.report import P50, P99, Results, number

IN_FLIGHT = 100
RATE = 300
COLUMNS = ("held against its target", "target", "measured", "")


@dataclass(frozen=True, slots=True)
class Target:
    """A bound and what was measured; None if the part was not run."""

    name: str
    bound: float
    measured: float | None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it is; None if it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def targets(results: Results) -> list[Target]:
    """Those of which something was measured; what a client has a part in, by both clients."""
    found = [*_by(results, OURS), *_by(results, BARE), *_alone(results)]
    return [target for target in found if target.measured is not None]


def _by(results: Results, name: str) -> Iterator[Target]:
    def ratio(part: str, other: str) -> float | None:
        return results.median(part, f"{name} ÷ {other}")

    a, b, c = cached.part(IN_FLIGHT), uncached.part(IN_FLIGHT), added.part(RATE)
    yield Target(f"cached ÷ aio-pika echo, {name}", 1.1, ratio(a, cached.AIO_PIKA), at_least=True)
    yield Target(f"cached ÷ pika echo, {name}", 0.75, ratio(a, cached.PIKA), at_least=True)
    yield Target(f"cached ÷ LiteLLM cached, {name}", 30, ratio(rivals.CACHED, LITELLM), at_least=True)
    yield Target(f"uncached ÷ aio-pika echo, {name}", 0.4, ratio(b, cached.AIO_PIKA), at_least=True)
    yield Target(f"uncached ÷ LiteLLM uncached, {name}", 14, ratio(rivals.UNCACHED, LITELLM), at_least=True)
    for share, bound in ((P50, 4), (P99, 25)):
        found = results.median(c, f"added by {name}, {share}")
        yield Target(f"added latency at {RATE} per second, {share}, {name} (ms)", bound, found)
    title = f"{name}, all ÷ ({collapsed.FACTOR} × one + {collapsed.SLACK_S} s)"
    found = results.median(collapsed.PART, title)
    yield Target(f"{collapsed.IDENTICAL:,} identical ÷ (1.3 × one + 0.3 s), {name}", 1, found)


def _alone(results: Results) -> Iterator[Target]:
    crowd = f"{cost.CROWD:,} in flight"
    yield Target(f"{crowd}: failed requests", 0, results.worst(cost.CROWDED, cost.FAILED))
    for role in ("coordinator", "worker"):
        grown = results.worst(cost.CROWDED, cost.growth(role))
        yield Target(f"{crowd}: memory of the {role}, last ÷ first pass", 1.1, grown)
    for role in ("coordinator", "worker"):
        yield Target(f"memory of the {role} (MB)", 80, results.worst(start.PART, start.memory(role)))
    yield Target("import of the client (ms)", 150, results.median(start.PART, start.IMPORT))
    for kind in ("cached", "uncached"):
        for requests in (cost.MANY // 4, cost.MANY, cost.VERY_MANY):
            found = results.median(cost.part(kind), cost.flat(requests))
            yield Target(f"CPU per {kind} request, {requests:,} ÷ {cost.FEW:,} requests", 1.1, found)


def as_json(held: list[Target]) -> list[dict[str, object]]:
    """The table as data."""
    return [
        {"target": t.name, "bound": t.bound, "at_least": t.at_least, "measured": t.measured, "met": t.met} for t in held
    ]


def rows(held: list[Target]) -> list[list[str]]:
    """The table as text."""
    return [
        [
            target.name,
            f"{'≥' if target.at_least else '≤'} {target.bound:g}",
            "" if target.measured is None else number(target.measured),
            "met" if target.met else "MISSED",
        ]
        for target in held
    ]


def show(held: list[Target], console: Console) -> None:
    """One table."""
    table = Table(*COLUMNS)
    for column in table.columns[1:3]:
        column.justify = "right"
    for target, row in zip(held, rows(held), strict=True):
        table.add_row(*row, style="green" if target.met else "red")
    if held:
        console.print(table)
        missed = sum(not target.met for target in held)
        console.print(f"{missed} of {len(held)} targets are missed." if missed else "All of these targets are met.")


def as_markdown(held: list[Target]) -> str:
    """The same table for a page."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---|", *(f"| {' | '.join(row)} |" for row in rows(held))]
    return "\n".join(lines) + "\n"
