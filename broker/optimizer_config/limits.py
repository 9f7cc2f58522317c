"""Limits as people write them.

Three forms mean the same: the shorthand `{ rpm = 30, tpm = 12000, concurrency = 8 }`, a window of any length
`{ bursts = { count = 5, per_s = 10 } }`, and a list of tables, of which each may be narrowed to some models.
"""

import re
from typing import get_args

from optimizer_config.model import Dimension, Limit
from optimizer_config.reader import Table, shown

_DIMENSIONS: dict[str, Dimension] = {"r": "requests", "t": "tokens", "it": "input_tokens", "ot": "output_tokens"}
_PERIODS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SHORTHANDS: dict[str, tuple[Dimension, float]] = {
    f"{unit}p{period}": (dimension, per_s)
    for unit, dimension in _DIMENSIONS.items()
    for period, per_s in _PERIODS_S.items()
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CLASSES: tuple[str, ...] = get_args(Dimension)


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
    """A table holds any number of limits; `models`, `source` and `as_of` are theirs in common."""
    models = table.texts("models") or ()
    source, as_of = table.text("source") or "", table.text("as_of") or ""
    suffix = f"[{','.join(models)}]" if models else ""
    limits = []
    if table.has("count") or table.has("per_s"):
        limits.append(_window(table, table.text("name"), models))
    limits += [limit for word in SHORTHANDS if (limit := _shorthand(table, word, models))]
    for name in [name for name in table.unread() if isinstance(table.peek(name), dict)]:
        window = table.table(name)
        limits.append(_window(window, name, models))
        window.finish()
    table.finish()
    return [
        Limit(f"{each.name}{suffix}", each.dimension, each.count, each.per_s, models, source, as_of) for each in limits
    ]


def _shorthand(table: Table, word: str, models: tuple[str, ...]) -> Limit | None:
    dimension, per_s = SHORTHANDS[word]
    count = table.whole(word)
    return Limit(word, dimension, count, per_s, models) if count else None


def _window(table: Table, name: str | None, models: tuple[str, ...]) -> Limit:
    for key in ("count", "per_s"):
        if not table.has(key):
            table.fail(key, "is missing; a window is written as { count = 5, per_s = 10 }.")
    count, per_s = table.whole("count"), table.seconds("per_s", least=0.1)
    dimension = table.choice("dimension", _CLASSES) or "requests"
    name = name or f"{dimension}-per-{per_s:g}s"
    if not _NAME.fullmatch(name.replace(".", "-")):
        table.fail("name", f"must consist of letters, digits, _ and -, got {shown(name)}.")
    return Limit(name, dimension, count or 1, per_s or 1.0, models)  # type: ignore[arg-type]


def _distinct(owner: Table, key: str, limits: list[Limit]) -> tuple[Limit, ...]:
    names = [limit.name for limit in limits]
    for name in names:
        if names.count(name) > 1:
            owner.fail(key, f'has two limits called "{name}"; give one of them a name of its own.')
    return tuple(limits)
