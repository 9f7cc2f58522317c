"""The retry budget of one worker without Redis, judged by brute force."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_config.model import RetrySettings
from optimizer_state.own_repeats import LATE_MS, OwnRepeats

# (pause before it in ms, how many calls begin then, whether a repetition is asked for after them)
steps = st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 30), st.booleans()), max_size=80)


@settings(max_examples=200, deadline=None)
@given(steps, st.floats(0, 1), st.integers(0, 3))
def test_never_more_than_the_share(steps, share, least):
    """Whenever a repetition is allowed, those of the last window are at most the share of its calls, or one."""
    own = OwnRepeats(RetrySettings(share, 10.0, least))
    now, calls, repeats = 0, [], []
    for pause, number, asks in steps:
        now += pause
        own.called(number, now)
        calls.append((now, number))
        if asks and own.wait_ms(now) == 0:
            own.repeated(str(len(repeats)), now)
            repeats.append(now)
            begun = sum(number for at, number in calls if at > now - 10_000)
            assert sum(at > now - 10_000 for at in repeats) <= max(min(1, least), math.floor(share * begun + 1e-9))


@settings(max_examples=100, deadline=None)
@given(steps)
def test_a_wait_ends(steps):
    """Who waits as long as told, and no other repetition is made meanwhile, is further on: one has left the window."""
    own = OwnRepeats(RetrySettings(0.2, 10.0, 1))
    now = 0
    for number, (pause, calls, asks) in enumerate(steps):
        now += pause
        own.called(calls, now)
        if asks and own.wait_ms(now) == 0:
            own.repeated(str(number), now)
    before = len(own.repeats(now))
    wait = own.wait_ms(now)

    assert wait == 0 or len(own.repeats(now + wait)) < before


@pytest.mark.parametrize(("begun", "allowed"), [(0, 1), (9, 1), (10, 2), (50, 10), (145, 29)])
def test_a_fifth(begun, allowed):
    """A fifth of the calls may be repeated, rounded down; a lone request is repeated once."""
    own = OwnRepeats(RetrySettings(0.2, 10.0, 3))
    own.called(begun, 0)
    granted = 0
    while own.wait_ms(1_000) == 0:
        own.repeated(str(granted), 1_000)
        granted += 1

    assert granted == allowed


def test_what_is_told_late_leaves_early():
    """Calls are told of late, so they leave the window earlier; repetitions start late, so they leave it later."""
    own = OwnRepeats(RetrySettings(0.5, 10.0, 0))
    own.called(2, 0)
    own.called(2, 9_000)

    assert own.wait_ms(10_000 - LATE_MS - 1) == 0
    own.repeated("a", 9_000)
    assert own.wait_ms(9_400) == 0
    assert own.wait_ms(10_000 - LATE_MS) == 9_000 + 10_000 + LATE_MS - (10_000 - LATE_MS)
    assert own.repeats(19_000 + LATE_MS - 1) == {"a": 9_000}
    assert own.repeats(19_000 + LATE_MS) == {}


def test_none_at_all():
    """With a share of nothing and none that is always allowed, nobody repeats."""
    own = OwnRepeats(RetrySettings(0.0, 0.1, 0))
    own.called(1_000, 0)

    assert own.late_ms == 25
    assert own.wait_ms(1) > 0


def test_nothing_is_kept():
    """What has left the window is forgotten."""
    own = OwnRepeats(RetrySettings(0.2, 1.0, 1))
    for second in range(1_000):
        own.called(5, second * 1_000)
        own.repeated(str(second), second * 1_000)
    own.wait_ms(1_000_000)

    assert len(own._calls) + len(own._repeats) <= 4
