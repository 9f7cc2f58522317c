"""Reading `rpm=20` as people write it, against the limits that a backend has. Pure."""

import re
from collections.abc import Sequence

from optimizer_config.errors import ConfigError
from optimizer_config.guess import did_you_mean
from optimizer_config.model import Backend, Limit
from optimizer_state.levels import CONCURRENCY

MICRO_USD = 1_000_000
_WHOLE = re.compile(r"[0-9]+(_[0-9]+)*")
_MONEY = re.compile(r"[0-9]+(\.[0-9]{1,6})?")


def counts_of(backend: Backend, words: Sequence[str]) -> dict[str, int]:
    """The counts in `rpm=20 tpm=500`, by the name of the limit; dollars become millionths.

    :raises ConfigError: if a word is not of that form, or the backend has no such limit.
    """
    counts: dict[str, int] = {}
    for word in words:
        written, equals, value = word.rpartition("=")
        if not equals:
            raise ConfigError(f'Write LIMIT=COUNT, for example rpm=20, not "{word}".')
        name = name_of(backend, written)
        if name in counts:
            raise ConfigError(f"{name} is written twice.")
        counts[name] = _count(backend, name, value)
    return counts


def name_of(backend: Backend, written: str) -> str:
    """The limit of this name, or concurrency.

    :raises ConfigError: if the backend has none, with the nearest name.
    """
    names = [limit.name for limit in backend.limits] + [CONCURRENCY]
    if written not in names:
        hint = did_you_mean(written, names)
        raise ConfigError(f'{backend.name} has no limit "{written}" in the configuration{hint or "."}')
    return written


def configured_count(backend: Backend, name: str) -> int:
    """What the configuration says.

    :raises ConfigError: if it has no such limit.
    """
    limit = _limit(backend, name_of(backend, name))
    return limit.count if limit else backend.concurrency


def shown(backend: Backend, name: str, count: int) -> str:
    """A count for people: `12,000`, or dollars with as many digits as it takes."""
    if not _is_money(backend, name):
        return f"{count:,}"
    cents, rest = divmod(count, MICRO_USD // 100)
    return f"${count / MICRO_USD:,.6f}" if rest else f"${cents / 100:,.2f}"


def _count(backend: Backend, name: str, value: str) -> int:
    form, unit, example = (_MONEY, MICRO_USD, "2.50") if _is_money(backend, name) else (_WHOLE, 1, "20")
    count = round(float(value) * unit) if form.fullmatch(value) else 0
    if count < 1:
        raise ConfigError(
            f'{name} must be a positive number such as {example}, got "{value}"; '
            f"to let no call start at all: optimizer pause {backend.name}"
        )
    return count


def _limit(backend: Backend, name: str) -> Limit | None:
    return next((limit for limit in backend.limits if limit.name == name), None)


def _is_money(backend: Backend, name: str) -> bool:
    limit = _limit(backend, name)
    return limit is not None and limit.dimension == "usd"
