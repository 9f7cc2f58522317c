"""Fixed windows: the periods that a wall-clock time divides time into."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from optimizer_config.model import Reset


def period(reset: Reset, now_ms: float) -> tuple[int, int]:
    """The period that holds `now_ms`: its first millisecond, and that of the next one (Unix milliseconds)."""
    day = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(reset.zone)).date()
    # Where the clocks change at the time of the reset, it may fall on the day before or after.
    days = [_first(reset, day, step) for step in (-2, -1, 0, 1, 2)]
    starts = [_start_ms(reset, first) for first in days]
    following = next(i for i, start in enumerate(starts) if start > now_ms)
    return starts[following - 1], starts[following]


def _first(reset: Reset, day: date, step: int) -> date:
    """The first day of the period which begins on this day or in this month, or so many periods later."""
    if reset.every == "day":
        return day + timedelta(days=step)
    months = day.year * 12 + day.month - 1 + step
    return date(months // 12, months % 12 + 1, 1)


def _start_ms(reset: Reset, first: date) -> int:
    at = datetime(first.year, first.month, first.day, reset.hour, reset.minute, tzinfo=ZoneInfo(reset.zone))
    return round(at.timestamp() * 1000)
