"""The event monitor doubts patterns that nothing can match."""

import pytest

from optimizer_ops.event_monitor import unknown_patterns
from optimizer_wire.events import KINDS


@pytest.mark.parametrize("pattern", ["optimizer.*", "*", "#", "optimizer.cache.*", "optimizer.*.hit", "#.failed"])
def test_what_matches_a_kind_is_not_doubted(pattern):
    """A pattern that at least one documented kind matches is taken without a word."""
    assert unknown_patterns([pattern]) == []


def test_each_documented_kind_is_known():
    """Every documented kind is a pattern by itself."""
    assert unknown_patterns(list(KINDS)) == []


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("optimizer.cach.*", "optimizer.cache.*"),
        ("optimizer.cache.hits", "optimizer.cache.hit"),
        ("optimiser.retry", "optimizer.retry"),
        ("cache.*", "optimizer.cache.*"),
    ],
)
def test_a_mistyped_pattern_is_doubted(pattern, meant):
    """A pattern that no kind matches is told with the nearest kind, and the others are left alone."""
    (doubt,) = unknown_patterns(["optimizer.*", pattern])

    assert f'"{pattern}"; did you mean "{meant}"?' in doubt
