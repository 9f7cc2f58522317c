"""What arrivals did to a limit, from their raw times alone. Pure; seconds of any one clock.

A window is [t, t + per_s): two arrivals exactly `per_s` apart are never in one.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence


def most_in_any_window(times: Iterable[float], per_s: float) -> int:
    """The most arrivals in any sliding window. A fullest window can always end at an arrival."""
    ordered = sorted(times)
    most = first = 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= per_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def in_last_window(ordered: Sequence[float], per_s: float, now: float) -> int:
    """How many arrivals are in the window that ends now; the times must be in order."""
    return len(ordered) - bisect_right(ordered, now - per_s)


def most_at_once(starts: Iterable[float], ends: Iterable[float]) -> int:
    """The most calls under way at one moment; a call that ends when another starts is not counted with it."""
    moments = sorted([(at, 1) for at in starts] + [(at, -1) for at in ends])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most
