"""Limits as people write them.

Three forms mean the same: the shorthand `{ rpm = 30, tpm = 12000, usd_per_day = 2.5, concurrency = 8 }`, a window of
any length `{ bursts = { count = 5, per_s = 10 } }`, and a list of tables, of which each may be narrowed to some models.
Windows slide, except those of money by day and month and those that a `reset` is written for.
"""

import re
from dataclasses import dataclass
from typing import get_args

from optimizer_config.model import Dimension, Limit, Reset
from optimizer_config.reader import Table, shown
from optimizer_config.resets import DAY_S, MONTH_S, period_s, read_reset

_DIMENSIONS: dict[str, Dimension] = {"r": "requests", "t": "tokens", "it": "input_tokens", "ot": "output_tokens"}
_PERIODS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S, "month": MONTH_S}
SHORTHANDS: dict[str, tuple[Dimension, float]] = {
    f"{unit}p{period}": (dimension, per_s)
    for unit, dimension in _DIMENSIONS.items()
    for period, per_s in _PERIODS_S.items()
}
# Money is spent by the calendar.
MONEY: dict[str, tuple[float, Reset]] = {
    "usd_per_day": (DAY_S, Reset("day")),
    "usd_per_month": (MONTH_S, Reset("month")),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CLASSES: tuple[str, ...] = get_args(Dimension)


@dataclass(frozen=True, slots=True)
class _Window:
    """A limit before it is given what its table says of all its limits."""

    name: str
    dimension: Dimension
    count: int
    per_s: float
    reset: Reset | None = None

    def fits(self, reset: Reset | None) -> bool:
        """Whether the window is as long as what the reset divides time into."""
        return reset is not None and self.per_s == period_s(reset)


def read_limits(owner: Table, key: str) -> tuple[tuple[Limit, ...], int | None]:
    """The limits at a key of a table, and the concurrency written among them, if any.

    :raises ConfigError: naming the place.
    """
    value = owner.take(key)
    if value is None:
        return (), None
    tables = [owner.as_table(key, value)] if isinstance(value, dict) else _listed(owner, key, value)
    limits: list[Limit] = []
    concurrency: int | None = None
    for table in tables:
        concurrency = table.whole("concurrency") or concurrency
        limits += _one_table(table)
    return _distinct(owner, key, limits), concurrency


def _listed(owner: Table, key: str, value: object) -> list[Table]:
    if not isinstance(value, list):
        owner.fail(key, f"must be a table like {{ rpm = 30, concurrency = 8 }}, got {shown(value)}.")
    return [owner.as_table(f"{key}[{number}]", entry) for number, entry in enumerate(value, 1)]


def _one_table(table: Table) -> list[Limit]:
    """A table holds any number of limits; `models`, `reset`, `source` and `as_of` are theirs in common."""
    models = table.texts("models") or ()
    source, as_of = table.text("source") or "", table.text("as_of") or ""
    suffix = f"[{','.join(models)}]" if models else ""
    reset = read_reset(table)
    windows = []
    if table.has("count") or table.has("per_s"):
        windows.append(_window(table, table.text("name")))
    windows += [window for word in SHORTHANDS if (window := _shorthand(table, word))]
    windows += [window for word in MONEY if (window := _money(table, word))]
    for name in [name for name in table.unread() if isinstance(table.peek(name), dict)]:
        inner = table.table(name)
        windows.append(_window(inner, name))
        inner.finish()
    table.finish()
    if reset and not any(window.fits(reset) for window in windows):
        table.fail("reset", f"is written, but none of these limits is one of a {reset.every}.")
    return [
        Limit(
            name=f"{window.name}{suffix}",
            dimension=window.dimension,
            count=window.count,
            per_s=window.per_s,
            models=models,
            source=source,
            as_of=as_of,
            reset=reset if window.fits(reset) else window.reset,
        )
        for window in windows
    ]


def _shorthand(table: Table, word: str) -> _Window | None:
    dimension, per_s = SHORTHANDS[word]
    count = table.whole(word)
    return _Window(word, dimension, count, per_s) if count else None


def _money(table: Table, word: str) -> _Window | None:
    per_s, reset = MONEY[word]
    count = table.micro_usd(word)
    return _Window(word, "usd", count, per_s, reset) if count else None


def _window(table: Table, name: str | None) -> _Window:
    for key in ("count", "per_s"):
        if not table.has(key):
            table.fail(key, "is missing; a window is written as { count = 5, per_s = 10 }.")
    dimension = table.choice("dimension", _CLASSES) or "requests"
    count = table.micro_usd("count") if dimension == "usd" else table.whole("count")
    per_s = table.seconds("per_s", least=0.1)
    name = name or f"{dimension}-per-{per_s:g}s"
    if not _NAME.fullmatch(name.replace(".", "-")):
        table.fail("name", f"must consist of letters, digits, _ and -, got {shown(name)}.")
    window = _Window(name, dimension, count or 1, per_s or 1.0, read_reset(table))  # type: ignore[arg-type]
    if window.reset and not window.fits(window.reset):
        table.fail("reset", f"is one of a {window.reset.every}, which this window of {window.per_s:g} s is not.")
    return window


def _distinct(owner: Table, key: str, limits: list[Limit]) -> tuple[Limit, ...]:
    names = [limit.name for limit in limits]
    for name in names:
        if names.count(name) > 1:
            owner.fail(key, f'has two limits called "{name}"; give one of them a name of its own.')
    return tuple(limits)
