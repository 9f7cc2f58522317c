"""Numbers, money and times as people write and read them."""

import time

import pytest

from optimizer_ops.formatting import units
from optimizer_ops.formatting.moments import clock, until


@pytest.mark.parametrize(
    ("usd", "words"),
    [
        (None, "–"),
        (0, "$0.00"),
        (1234.5, "$1,234"),
        (2.345, "$2.35"),
        (0.0041, "$0.0041"),
        (2e-6, "$0.000002"),
        (1e-9, "< $0.000001"),
    ],
)
def test_money(usd, words):
    """Money has as many digits as tell something; a little is never shown as nothing."""
    assert units.dollars(usd) == words


@pytest.mark.parametrize(
    ("part", "words"),
    [(None, "–"), (0, "0 %"), (0.0004, "< 0.1 %"), (0.034, "3.4 %"), (0.45, "45 %"), (0.996, "99.6 %"), (1, "100 %")],
)
def test_shares(part, words):
    """A share says 0 and 100 % only where it is that."""
    assert units.percent(part) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0.4, "0.4 ms"), (12, "12 ms"), (1_250, "1.25 s"), (65_000, "65 s"), (400_000, "7 min")],
)
def test_durations(value, words):
    """Durations have the unit of their size."""
    assert units.milliseconds(value) == words


def test_sizes():
    """Sizes have units, also where rounding brings them to the next."""
    shown = [units.size(n) for n in (812, 14_200, 999_960, 3_100_000, 2_000_000_000)]
    assert shown == ["812 B", "14.2 kB", "1.0 MB", "3.1 MB", "2.0 GB"]


def test_the_clock():
    """The day is told where it is another, and the year where it is."""
    noon = time.mktime((2026, 11, 21, 12, 0, 0, 0, 0, -1))
    assert clock(noon + 5, noon) == "12:00:05"
    assert clock(noon - 86_400, noon) == "20 Nov 12:00:00"
    assert clock(noon - 366 * 86_400, noon) == "2025-11-20 12:00:00"
    assert until(noon + 720, noon) == "until 12:12:00 (in 12 min)"
