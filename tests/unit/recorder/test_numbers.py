"""What the numbers of a source tell of lost, late and repeated events."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_ops.recorder.numbers import LATE_S, MOST_GAPS, Numbers


def test_a_gap_counts_once_nothing_can_fill_it_any_more():
    """What is missing counts as lost after the time in which it could have been overtaken, and not before."""
    numbers = Numbers()
    assert [numbers.take(number, 0.0) for number in (5, 6, 9)] == [True, True, True]

    assert (numbers.settle(LATE_S - 1), numbers.lost, numbers.unsettled) == (0, 0, True)
    assert (numbers.settle(LATE_S), numbers.lost, numbers.unsettled) == (2, 2, False)
    assert numbers.settle(2 * LATE_S) == 0


@pytest.mark.parametrize("settled", [False, True])
def test_what_comes_late_is_not_lost(settled):
    """A late event is taken once, and what was counted as lost for it is taken back."""
    numbers = Numbers()
    for number in (1, 5):
        numbers.take(number, 0.0)
    if settled:
        assert numbers.settle(LATE_S) == 3

    assert [numbers.take(number, 99.0) for number in (3, 3, 2, 4, 4, 1, 5)] == [
        True,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    numbers.settle(9 * LATE_S)
    assert (numbers.lost, numbers.gaps, numbers.received) == (0, [], 5)


def test_what_was_told_before_anybody_listened_is_not_lost():
    """A source that is first heard in the middle of its life has lost nothing."""
    numbers = Numbers()
    numbers.take(1_000, 0.0)
    numbers.settle(LATE_S)
    assert numbers.lost == 0


def test_what_is_remembered_has_an_end():
    """A queue that drops every other event for long does not fill the memory, and each counts as lost."""
    numbers = Numbers()
    for number in range(1, 4 * MOST_GAPS, 2):
        numbers.take(number, 0.0)
    assert len(numbers.gaps) == MOST_GAPS
    numbers.settle(LATE_S)
    assert numbers.lost == 2 * MOST_GAPS - 1


@given(st.lists(st.integers(1, 60), max_size=120), st.randoms())
def test_every_number_is_taken_once_in_whatever_order(taken, dice: random.Random):
    """Of each number the first is taken; lost is what never came between the lowest and the highest."""
    numbers, seen = Numbers(), set()
    for at, number in enumerate(taken):
        assert numbers.take(number, float(at)) == (number not in seen)
        seen.add(number)
        if dice.random() < 0.2:
            numbers.settle(at + LATE_S)
    numbers.settle(1e9)
    assert numbers.lost == (max(seen) - min(seen) + 1 - len(seen) if seen else 0)
    assert numbers.received == len(seen)
