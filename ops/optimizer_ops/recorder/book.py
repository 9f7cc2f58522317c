"""The rows that a batch of events concerns, as they are in the history and as they become. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from optimizer_ops.history.sums import KEYS, hour_of, latencies_of, of_call, of_request
from optimizer_ops.recorder.numbers import Numbers
from optimizer_ops.recorder.values import Row

HourKey = tuple[object, ...]
Ends = dict[str, Row]


@dataclass(slots=True)
class Kept:
    """The rows of one table by their id. Whoever changes a row says so first."""

    rows: dict[str, Row] = field(default_factory=dict)
    before: dict[str, Row | None] = field(default_factory=dict)

    def load(self, rows: Iterable[Row]) -> None:
        """Take rows as the history has them."""
        for row in rows:
            self.rows.setdefault(row["id"], row)

    def change(self, id_: str) -> Row:
        """A row that is about to change."""
        row = self.rows[id_]
        if id_ not in self.before:
            self.before[id_] = dict(row)
        return row

    def add(self, row: Row) -> Row:
        """A row that is new."""
        self.rows[row["id"]] = row
        self.before[row["id"]] = None
        return row

    def remove(self, id_: str) -> None:
        """A row that goes."""
        self.before[id_] = self.rows.pop(id_)

    def added(self) -> list[Row]:
        """The new rows."""
        return [self.rows[id_] for id_, old in self.before.items() if old is None]

    def changed(self) -> list[Row]:
        """The rows that were there and are different now."""
        return [
            row
            for id_, old in self.before.items()
            if old is not None and (row := self.rows.get(id_)) is not None and row != old
        ]

    def pairs(self) -> Iterator[tuple[Row | None, Row | None]]:
        """Each row that may have changed, as it was and as it is."""
        return ((old, self.rows.get(id_)) for id_, old in self.before.items())


@dataclass(slots=True)
class Book:
    """Everything that a batch changes.

    `ends` are the errors by which flights have ended, by flight; `answers` the ids of the calls that answered them.
    `forgotten` says until when which tenants were.
    """

    requests: Kept = field(default_factory=Kept)
    calls: Kept = field(default_factory=Kept)
    happenings: list[Row] = field(default_factory=list)
    agents: dict[tuple[str, str], Row] = field(default_factory=dict)
    sources: dict[str, Row] = field(default_factory=dict)
    numbers: dict[str, Numbers] = field(default_factory=dict)
    waiting: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    ends: Ends = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    forgotten: dict[str, float] = field(default_factory=dict)
    lost: int = 0
    recorded: int = 0
    newest: float = 0.0

    def load_requests(self, rows: Iterable[Row]) -> None:
        """Take requests as the history has them."""
        for row in rows:
            if row["id"] not in self.requests.rows:
                self.requests.rows[row["id"]] = row
                if row["flight"] and row["outcome"] == "open":
                    self.waiting[row["flight"]].add(row["id"])

    def load_calls(self, rows: Iterable[Row]) -> None:
        """Take calls as the history has them."""
        self.calls.load(rows)
        for row in self.calls.rows.values():
            if row["outcome"] == "answered" and row["flight"]:
                self.answers[row["flight"]] = row["id"]

    def hours(self) -> dict[HourKey, Counter[str]]:
        """What is to be added to the sums by hour: each row taken out as it was, and put in as it is."""
        sums: dict[HourKey, Counter[str]] = defaultdict(Counter)
        for kept, at, adds in ((self.requests, "asked", of_request), (self.calls, "started", of_call)):
            for old, new in kept.pairs():
                for row, sign in ((old, -1), (new, 1)):
                    if row is not None:
                        key = (hour_of(row[at]), *(row[name] for name in KEYS))
                        for name, value in adds(row).items():
                            if value:
                                sums[key][name] += sign * value  # type: ignore[assignment]
        return {key: sum_ for key, sum_ in sums.items() if any(sum_.values())}

    def latencies(self) -> Counter[tuple[int, str, str, int]]:
        """What is to be added to the durations by hour."""
        counts: Counter[tuple[int, str, str, int]] = Counter()
        for old, new in self.requests.pairs():
            if old is not None:
                counts.subtract(latencies_of(old))
            if new is not None:
                counts.update(latencies_of(new))
        return Counter({key: count for key, count in counts.items() if count})
