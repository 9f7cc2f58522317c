"""The rows of a table of levels: each limit in the words in which it is shown. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from optimizer_ops.budgets.state import states
from optimizer_ops.budgets.wanted import MICRO_USD
from optimizer_ops.formatting.units import duration
from optimizer_state.estimates import Lesson
from optimizer_state.levels import Levels, LimitLevel

_HEADS = ("backend", "limit", "used", "reserved", "left", "of", "frees in", "state")
_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One limit, or concurrency."""

    name: str
    used: str
    reserved: str
    left: str
    count: str
    configured: str
    frees: str
    is_set: bool
    used_share: float
    reserved_share: float

    @property
    def over(self) -> bool:
        """Whether more is used than the limit allows."""
        return self.used_share + self.reserved_share > 1


def rows_of(levels: Levels) -> list[Row]:
    """The limits of a backend, and concurrency as the last."""
    return [*(_row(limit) for limit in levels.limits), replace(_row(levels.concurrency), used=_NOTHING)]


def _row(limit: LimitLevel) -> Row:
    return Row(
        name=limit.name,
        used=_amount(limit, limit.used),
        reserved=_amount(limit, limit.reserved),
        left=_amount(limit, limit.left),
        count=_amount(limit, limit.count),
        configured=_amount(limit, limit.configured),
        frees=_NOTHING if limit.frees_ms is None else duration(limit.frees_ms / 1000),
        is_set=limit.count != limit.configured,
        used_share=limit.used / limit.count,
        reserved_share=limit.reserved / limit.count,
    )


def _amount(limit: LimitLevel, number: int) -> str:
    if limit.dimension != "usd":
        return f"{number:,}"
    dollars = abs(number) / MICRO_USD
    digits = 4 if dollars < 10 else 2 if dollars < 1_000 else 0
    return f"{'-' if number < 0 else ''}${dollars:,.{digits}f}"


def changes(levels: Levels) -> list[str]:
    """What operators set, a line for each count."""
    return [f"{row.name} {row.count} instead of {row.configured}" for row in rows_of(levels) if row.is_set]


def estimates(levels: Levels) -> list[str]:
    """What was learned of each model, a line for each."""
    return [f"{model}: {_learned(lesson)}" for model, lesson in levels.learned.items()]


def _learned(lesson: Lesson) -> str:
    likely = lesson.output_quantile()
    below = f" (90 % below {likely + 1:,})" if likely is not None else ""
    words = [f"{lesson.output_tokens / lesson.calls:,.0f} tokens an answer{below}"]
    if lesson.tokens_per_char is not None:
        words.append(f"{lesson.tokens_per_char:.2f} a character")
    if lesson.usd_per_call:
        words.append(f"${lesson.usd_per_call:.5f} a call")
    return ", ".join(words)


def plain(all_levels: Sequence[Levels]) -> str:
    """Rows for a pipe: every one names its backend, and thousands have no comma."""
    lines: list[tuple[str, ...]] = [_HEADS]
    for levels in all_levels:
        state = ", ".join(words for words, _ in states(levels))
        for row in rows_of(levels):
            numbers = (part.replace(",", "") for part in (row.used, row.reserved, row.left, row.count))
            lines.append((levels.backend, row.name, *numbers, row.frees, state))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADS) - 1)]
    rows = ["  ".join([*map(str.ljust, line, widths), line[-1]]) for line in lines]
    notes = [
        f"{levels.backend}  {word}: {line}"
        for levels in all_levels
        for word, lines in (("set", changes(levels)), ("learned", estimates(levels)))
        for line in lines
    ]
    return "\n".join([*rows, *notes])
