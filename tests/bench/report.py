"""Results: rounds of measurements under names, summed up as medians with their spread."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

LAST = ("cost", "start")


@dataclass
class Results:
    """Every measured value by (part, name); values of one round stand at the same place."""

    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    def add(self, part: str, name: str, value: float, unit: str) -> None:
        """Add one value of one round."""
        self.rounds.setdefault(part, {}).setdefault(name, []).append(value)
        self.units[f"{part}/{name}"] = unit

    def ratio(self, part: str, name: str, over: str, under: str) -> None:
        """Add the ratio of two names, round by round: both were measured one after the other."""
        values = self.rounds[part]
        for a, b in zip(values[over], values[under], strict=True):
            self.add(part, name, a / b, "×")

    def as_json(self) -> dict[str, Any]:
        """Everything, with all rounds."""
        return {
            part: {
                name: {"unit": self.units[f"{part}/{name}"], "median": median(values), "rounds": values}
                for name, values in names.items()
            }
            for part, names in self.rounds.items()
        }

    def show(self, console: Console) -> None:
        """One table."""
        table = Table("measured", "median", "lowest", "highest", "unit")
        for column in table.columns[1:4]:
            column.justify = "right"
        for part, names in sorted(self.rounds.items(), key=lambda item: item[0] in LAST):
            table.add_section()
            table.add_row(f"[bold]{part}[/bold]")
            for name, values in names.items():
                unit = self.units[f"{part}/{name}"]
                style = "bold green" if unit == "×" else None
                row = (_number(value) for value in (median(values), min(values), max(values)))
                table.add_row(f"  {name}", *row, unit, style=style)
        console.print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"
