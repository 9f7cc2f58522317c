"""Numbers as people read them."""

import pytest

from optimizer_ops.dashboard import shown


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (None, "–"),
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0 k"),
        (123_456, "123 k"),
        (999_600, "1.00 M"),
        (4.5e9, "4.50 G"),
    ],
)
def test_counts(number, words):
    """A count has a unit when it is long, and what nobody knows is no 0."""
    assert shown.count(number) == words


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
    assert shown.money(usd) == words


@pytest.mark.parametrize(
    ("part", "words"),
    [(None, "–"), (0, "0 %"), (0.0004, "< 0.1 %"), (0.034, "3.4 %"), (0.45, "45 %"), (0.996, "99.6 %"), (1, "100 %")],
)
def test_shares(part, words):
    """A share says 0 and 100 % only where it is that."""
    assert shown.share(part) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0.4, "0.4 ms"), (12, "12 ms"), (1_250, "1.25 s"), (65_000, "65 s"), (400_000, "7 min")],
)
def test_durations(value, words):
    """Durations have the unit of their size."""
    assert shown.ms(value) == words


def test_moments():
    """A moment is told from now, before and after."""
    assert shown.ago(100, 100.5) == "now"
    assert shown.ago(100, 160) == "60 s ago"
    assert shown.ago(160, 100) == "in 60 s"
    assert shown.ago(None, 0) == "–"


def test_sizes_and_cuts():
    """Sizes have units; text that is too long ends with a sign of it."""
    assert [shown.size(n) for n in (812, 14_200, 3_100_000, 2_000_000_000)] == ["812 B", "14.2 kB", "3.1 MB", "2.0 GB"]
    assert shown.cut("x" * 61) == "x" * 59 + "…"
    assert shown.cut("") == "–"
    assert shown.with_({"span": "7d", "q": ""}, name="a&b", other=None) == "span=7d&name=a%26b"
