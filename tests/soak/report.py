"""What a soak found: as text for people, as JSON for whoever compares runs."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

_HEAD = f"{'process':34} {'RSS MiB first':>13} {'last':>6} {'peak':>6} {'MiB/hour':>9} {'descriptors':>12} {'CPU s':>7}"


@dataclass
class Report:
    """The findings of one soak; `broken` are sentences, none if everything held."""

    seed: int
    minutes: float
    requests: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    processes: list[Mapping[str, object]] = field(default_factory=list)
    redis_keys: dict[str, int] = field(default_factory=dict)
    redis_mib: float = 0.0
    longest_s: float = 0.0
    slowest: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def text(self) -> str:
        """For a terminal."""
        lines = [
            f"soak of {self.minutes:.1f} minutes, seed {self.seed}",
            "requests   " + _counts(self.requests) + f"; longest {self.longest_s:.1f} s",
            "faults     " + _counts(self.faults),
            "",
            _HEAD,
        ]
        for row in self.processes:
            first, last = row["descriptors"]  # type: ignore[misc]
            lines.append(
                f"{row['process']!s:34} {row['rss_mib_first']:>13} {row['rss_mib_last']:>6} {row['rss_mib_peak']:>6} "
                f"{row['mib_per_hour']:>9} {f'{first} to {last}':>12} {row['cpu_s']:>7}"
                + ("" if row["judged"] else "  (not judged)")
            )
        lines += ["", f"Redis      {self.redis_mib:.1f} MiB; keys: " + _counts(self.redis_keys), ""]
        lines += [f"BROKEN: {each}" for each in self.broken] or ["Every promise held; memory and descriptors are flat."]
        return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in Counter(counts).most_common()) or "none"
