"""How a stretch of load is summed up."""

import math

import pytest
from tests.bench.sample import percentile, sample


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_nearest_rank(share, expected):
    """Of 1 to 100, the percentile of a share is that many hundredths."""
    assert percentile(range(1, 101), share) == expected


def test_a_single_value_is_every_percentile():
    """Of one value, each percentile is that value; of none there is none."""
    assert [percentile([7.0], share) for share in (0.0, 0.5, 1.0)] == [7.0] * 3
    assert math.isnan(percentile([], 0.5))


def test_a_sample_counts_answers_alone():
    """The rate is that of answers, in any order, and failed requests are counted beside them."""
    found = sample([0.003, 0.001, 0.002, 0.004], took_s=2.0, failed=3)
    assert (found.per_s, found.p50_ms, found.p99_ms) == (2.0, 2.0, 4.0)
    assert (found.answers, found.failed) == (4, 3)
