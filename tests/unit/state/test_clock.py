"""The fleet's clock: Redis' time, counted by a monotonic clock of one's own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_state.clock import FleetClock


class Hands:
    """A monotonic clock and a wall clock that tests move."""

    def __init__(self, mono=1_000.0, wall=1_700_000_000.0):
        self.mono, self.wall = mono, wall

    def clock(self):
        return FleetClock(lambda: self.mono, lambda: self.wall)


def test_wall_clock_at_first():
    """Before Redis was ever reached it is the machine's own time, and goes on evenly."""
    hands = Hands()
    clock = hands.clock()

    assert clock.now_ms() == pytest.approx(1_700_000_000_000, abs=1)
    hands.mono += 2.5
    assert clock.now_ms() == pytest.approx(1_700_000_002_500, abs=1)


def test_changes_of_the_wall_clock_are_not_seen():
    """Setting the machine's clock changes nothing."""
    hands = Hands()
    clock = hands.clock()
    before = clock.now_ms()
    hands.wall += 3_600

    assert clock.now_ms() == before


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1e6), st.floats(0, 0.4), st.floats(0, 1), st.floats(0, 2e12), st.floats(0, 1e4))
def test_learning(asked, took, read_at, redis_ms, later):
    """After learning it is Redis' time, off by at most half of the round trip (and a rounded millisecond)."""
    hands = Hands()
    clock = hands.clock()
    clock.learn(redis_ms, asked, asked + took)
    hands.mono = asked + took + later

    truth = redis_ms + (took * (1 - read_at) + later) * 1000
    assert abs(clock.now_ms() - truth) <= took * 500 + 1.1


def test_the_last_word_counts():
    """A later answer of Redis replaces an earlier one, forwards and back."""
    hands = Hands(mono=10.0)
    clock = hands.clock()
    for redis_ms in (5_000.0, 9_000.0, 1_000.0):
        clock.learn(redis_ms, 10.0, 10.0)
        assert clock.now_ms() == int(redis_ms)
