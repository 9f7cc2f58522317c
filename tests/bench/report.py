"""Results: rounds of measurements under names, summed up as medians with their spread."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.bench.sample import Sample

COLUMNS = ("measured", "median", "lowest", "highest", "unit", "p50 ms", "p95 ms", "p99 ms")
PER_S, P50, P95, P99 = "per second", "p50", "p95", "p99"


@dataclass
class Results:
    """Every measured value by (part, name); values of one round stand at the same place."""

    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, part: str, name: str, value: float, unit: str) -> None:
        """Add one value of one round."""
        self.rounds.setdefault(part, {}).setdefault(name, []).append(value)
        self.units[f"{part}/{name}"] = unit

    def add_sample(self, part: str, way: str, sample: Sample) -> None:
        """Add the rate and the latencies of one way, in one round."""
        self.add(part, f"{way}, {PER_S}", sample.per_s, "1/s")
        for share, value in ((P50, sample.p50_ms), (P95, sample.p95_ms), (P99, sample.p99_ms)):
            self.add(part, f"{way}, {share}", value, "ms")

    def rates(self, part: str, over: str, under: str) -> None:
        """Add the ratio of the rates of two ways."""
        self.ratio(part, f"{over} ÷ {under}", f"{over}, {PER_S}", f"{under}, {PER_S}")

    def ratio(self, part: str, name: str, over: str, under: str) -> None:
        """Add the ratio of two names, round by round: both were measured one after the other."""
        values = self.rounds[part]
        for a, b in zip(values[over], values[under], strict=True):
            self.add(part, name, a / b, "×")

    def remark(self, sentence: str) -> None:
        """Add a sentence about what was not or could not be measured, or went wrong."""
        self.remarks.append(sentence)

    def median(self, part: str, name: str) -> float | None:
        """The median over the rounds; None if it was not measured."""
        values = self.rounds.get(part, {}).get(name)
        return median(values) if values else None

    def worst(self, part: str, name: str) -> float | None:
        """The greatest value of any round; None if it was not measured."""
        return max(self.rounds.get(part, {}).get(name, []), default=None)

    def as_json(self) -> dict[str, Any]:
        """Everything, with all rounds."""
        return {
            part: {
                name: {"unit": self.units[f"{part}/{name}"], "median": median(values), "rounds": values}
                for name, values in names.items()
            }
            for part, names in self.rounds.items()
        }

    def rows(self, part: str) -> list[list[str]]:
        """The table of one part, as in `COLUMNS`; the latencies of a way stand beside its rate, as medians."""
        names = self.rounds[part]
        found = []
        for name, values in names.items():
            way, _, last = name.rpartition(", ")
            if last in (P50, P95, P99) and f"{way}, {PER_S}" in names:
                continue
            shares = [names.get(f"{way}, {share}") if last == PER_S else None for share in (P50, P95, P99)]
            cells = [number(value) for value in (median(values), min(values), max(values))]
            cells += [self.units[f"{part}/{name}"], *(number(median(share)) if share else "" for share in shares)]
            found.append([name, *cells])
        return found

    def show(self, console: Console) -> None:
        """One table, and the remarks."""
        table = Table(*COLUMNS)
        for column in table.columns[1:]:
            column.justify = "right"
        for part in self.rounds:
            table.add_section()
            table.add_row(f"[bold]{part}[/bold]")
            for name, *cells in self.rows(part):
                table.add_row(f"  {name}", *cells, style="bold green" if "×" in cells else None)
        console.print(table)
        for sentence in self.remarks:
            console.print(sentence, highlight=False)

    def as_markdown(self) -> str:
        """The same table for a page."""
        lines = [f"| {' | '.join(COLUMNS)} |", "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
        for part in self.rounds:
            lines.append(f"| **{part}** |" + " |" * (len(COLUMNS) - 1))
            lines += [f"| {' | '.join(row)} |" for row in self.rows(part)]
        return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three digits of a number, or all of a great one."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
