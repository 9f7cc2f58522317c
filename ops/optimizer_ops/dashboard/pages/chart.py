"""A timeline as the chart on a page takes it: JSON in an attribute. Pure."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from optimizer_ops.history.views import Point, Totals

Unit = Literal["count", "money", "ms"]

# The words of a series and the CSS variable of its colour.
Series = tuple[str, str, Callable[[Totals], float | None]]

ORIGIN: tuple[Series, ...] = (
    ("calls made", "call", lambda totals: max(0, totals.requests - totals.hits - totals.collapsed)),
    ("collapsed", "collapsed", lambda totals: totals.collapsed),
    ("from the cache", "hit", lambda totals: totals.hits),
)
MONEY: tuple[Series, ...] = (
    ("paid", "call", lambda totals: totals.cost_usd),
    ("saved", "hit", lambda totals: totals.saved_usd),
)
CALLS: tuple[Series, ...] = (
    ("answered", "hit", lambda totals: totals.calls_answered),
    ("failed", "bad", lambda totals: totals.calls_failed),
    ("unknown", "muted", lambda totals: totals.calls_unknown),
)
LATENCY: tuple[Series, ...] = (
    ("p50", "hit", lambda totals: totals.p50_ms),
    ("p95", "call", lambda totals: totals.p95_ms),
    ("p99", "collapsed", lambda totals: totals.p99_ms),
)


def chart(
    points: Sequence[Point], series: Sequence[Series], unit: Unit, step_s: float, *, stacked: bool = False
) -> str:
    """The points as JSON for `data-chart`; stacked series stand on each other, the first at the bottom.

    `at` is shifted by the server's time zone, so that the chart says the same times as the page.
    """
    drawn: dict[str, Any] = {
        "unit": unit,
        "step": step_s,
        "stacked": stacked,
        "at": [point.at + (time.localtime(point.at).tm_gmtoff or 0) for point in points],
        "series": [
            {"name": name, "colour": colour, "values": [value(point.totals) for point in points]}
            for name, colour, value in series
        ],
    }
    return msgspec.json.encode(drawn).decode()
