"""Numbers as people read them."""

import pytest

from optimizer_ops.dashboard import filters


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
    assert filters.count(number) == words


def test_moments():
    """A moment is told from now, before and after."""
    assert filters.ago(100, 100.5) == "now"
    assert filters.ago(100, 160) == "60 s ago"
    assert filters.ago(160, 100) == "in 60 s"
    assert filters.ago(None, 0) == "–"


def test_cuts():
    """Text that is too long ends with a sign of it."""
    assert filters.cut("x" * 61) == "x" * 59 + "…"
    assert filters.cut("") == "–"
    assert filters.with_({"span": "7d", "q": ""}, name="a&b", other=None) == "span=7d&name=a%26b"
