"""Moments as people write and read them, by the clock and zone of this machine. Pure but for that zone."""

from datetime import datetime

from optimizer_ops.formatting.ages import age_s
from optimizer_ops.formatting.units import duration


def moment(text: str, now: float) -> float:
    """Unix seconds of `30m`, `24h`, `7d` ago, `2026-11-01` (its midnight) or `2026-11-01T14:30`.

    :raises ValueError: with a sentence.
    """
    written = text.strip()
    try:
        return now - age_s(written)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(written).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"{text!r} is no moment: write how long ago (30m, 24h, 7d) or a date (2026-11-01, 2026-11-01T14:30)."
        ) from None


def clock(at: float, now: float) -> str:
    """`22:18:05` of today, else `21 Nov 22:18:05`, with the year if it is another one."""
    then, today = (datetime.fromtimestamp(each).astimezone() for each in (at, now))
    if then.date() == today.date():
        return f"{then:%H:%M:%S}"
    return f"{then:%d %b %H:%M:%S}" if then.year == today.year else f"{then:%Y-%m-%d %H:%M:%S}"


def day(at: float) -> str:
    """`Sat 2026-11-21 22:18`."""
    return f"{datetime.fromtimestamp(at).astimezone():%a %Y-%m-%d %H:%M}"


def until(at: float, now: float, *, word: str = "until") -> str:
    """`until 14:03:20 (in 45 s)`."""
    return f"{word} {clock(at, now)} (in {duration(max(0.0, at - now))})"


def ago(at: float, now: float) -> str:
    """`45 s ago`."""
    return f"{duration(max(0.0, now - at))} ago"
