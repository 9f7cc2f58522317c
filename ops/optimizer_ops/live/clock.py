"""Moments as people read them. Pure, but for the zone of this machine."""

import time

from optimizer_ops.words import duration


def at_clock(at: float, now: float) -> str:
    """`14:03:20`, with the day if it is not today's."""
    same_day = time.localtime(at)[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M", time.localtime(at))


def until(at: float, now: float, *, word: str = "until") -> str:
    """`until 14:03:20 (in 45 s)`."""
    return f"{word} {at_clock(at, now)} (in {duration(max(0.0, at - now))})"
