"""The arithmetic of windows, judged beside a slow count of every window."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import judge

from optimizer_ops.demo.windows import in_last_window, most_at_once, most_in_any_window


@pytest.mark.parametrize(
    ("times", "per_s", "most"),
    [
        ([], 1.0, 0),
        ([5.0], 1.0, 1),
        ([0.0, 1.0], 1.0, 1),
        ([0.0, 0.999], 1.0, 2),
        ([0.0, 0.5, 1.0, 1.25], 1.0, 3),
        ([3.0, 1.0, 2.0], 10.0, 3),
    ],
)
def test_most_in_any_window(times, per_s, most):
    """A window is [t, t + per_s): arrivals exactly its length apart are never in one; order does not matter."""
    assert most_in_any_window(times, per_s) == most


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(1, 100))
def test_most_in_any_window_is_what_a_slow_count_says(ticks, per):
    """Two pointers find the same as counting each window that ends at an arrival."""
    slow = max((sum(1 for other in ticks if at - per < other <= at) for at in ticks), default=0)

    assert most_in_any_window(ticks, per) == slow


def test_the_judge_of_the_tests_agrees():
    """The judge that is written apart comes to the same numbers on random arrivals."""
    rng = random.Random(3)
    times = [rng.uniform(0, 60) for _ in range(500)]

    for per_s in (0.3, 1.0, 7.5, 60.0):
        assert most_in_any_window(times, per_s) == judge.max_in_window(times, per_s)[0]


def test_in_last_window():
    """What arrived exactly a window ago has left it."""
    assert in_last_window([1.0, 2.0, 2.5, 3.0], 1.0, 3.0) == 2
    assert in_last_window([], 1.0, 3.0) == 0


def test_most_at_once():
    """A call that ends when another begins is not under way with it."""
    assert most_at_once([0.0, 1.0, 2.0], [1.0, 4.0, 3.0]) == 2
    assert most_at_once([0.0, 1.0], []) == 2
