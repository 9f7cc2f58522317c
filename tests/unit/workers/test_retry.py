"""What follows from a failed call: the next backend, another try here, or the end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_backends.outcome import Outcome
from optimizer_workers.retry import LONGEST_PAUSE_S, SLOW_DOWN, Again, Failover, GiveUp, after_failure, throttle_pause_s

FAILED = [outcome for outcome in Outcome if not outcome.ok]
HOPELESS = {Outcome.invalid, Outcome.content_filtered, Outcome.cancelled}
# What the same backend may answer otherwise after a pause.
PASSING = {Outcome.overloaded, Outcome.transient, Outcome.timed_out, Outcome.throttled, Outcome.ramp}


def after(outcome, *, further=False, retries=0, retry_after_s=None, left_s=1_000.0):
    return after_failure(outcome, further=further, retries=retries, retry_after_s=retry_after_s, left_s=left_s)


@pytest.mark.parametrize("outcome", FAILED)
def test_first_to_the_next_backend(outcome):
    """While the route goes on, whatever another backend may mend goes there at once; the rest ends."""
    expected = GiveUp() if outcome in HOPELESS else Failover()

    assert after(outcome, further=True, retry_after_s=5.0) == expected
    assert after(outcome, further=True, left_s=0.001) == expected


@pytest.mark.parametrize("outcome", FAILED)
def test_on_the_last_backend(outcome):
    """On the last backend what may pass is tried again after 1, 2 and 4 s; the rest ends at once."""
    steps = [after(outcome, retries=retries) for retries in range(4)]

    if outcome not in PASSING:
        assert steps == [GiveUp()] * 4
    elif outcome in SLOW_DOWN:
        assert steps == [Again(1.0), Again(2.0), Again(4.0), Again(8.0)]
    else:
        assert steps == [Again(1.0), Again(2.0), Again(4.0), GiveUp()]


@pytest.mark.parametrize("outcome", sorted(SLOW_DOWN))
def test_patience_with_a_backend_that_says_slow_down(outcome):
    """A backend that only says "slow down" is asked again for as long as anybody waits, at least once a minute."""
    assert after(outcome, retries=6) == Again(LONGEST_PAUSE_S)
    assert after(outcome, retries=1_000) == Again(LONGEST_PAUSE_S)
    assert after(outcome, retries=6, left_s=60.0) == GiveUp()


@pytest.mark.parametrize(
    ("retry_after_s", "pause_s"), [(None, 2.0), (0.0, 2.0), (0.5, 2.0), (7.5, 7.5), (300.0, 300.0)]
)
def test_the_backends_word(retry_after_s, pause_s):
    """The pause is never shorter than what the backend asked for."""
    assert after(Outcome.throttled, retries=1, retry_after_s=retry_after_s) == Again(pause_s)
    assert after(Outcome.overloaded, retries=1, retry_after_s=retry_after_s) == Again(pause_s)


@pytest.mark.parametrize(("left_s", "step"), [(1.001, Again(1.0)), (1.0, GiveUp()), (0.0, GiveUp()), (-5.0, GiveUp())])
def test_the_deadline(left_s, step):
    """A pause that would outlast the deadline is not begun."""
    assert after(Outcome.transient, left_s=left_s) == step


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FAILED),
    st.booleans(),
    st.integers(0, 10_000),
    st.none() | st.floats(0, 1e6),
    st.floats(-1e6, 1e6),
)
def test_any_failure(outcome, further, retries, retry_after_s, left_s):
    """Every failure has one of three ends, and a pause fits into the time that is left."""
    step = after(outcome, further=further, retries=retries, retry_after_s=retry_after_s, left_s=left_s)

    assert isinstance(step, Failover | Again | GiveUp)
    assert isinstance(step, Failover) is (further and outcome not in HOPELESS)
    if isinstance(step, Again):
        assert max(1.0, retry_after_s or 0.0) <= step.after_s < left_s


@pytest.mark.parametrize(
    ("in_a_row", "retry_after_s", "pause_s"),
    [
        (1, None, 1.0),
        (2, None, 2.0),
        (3, None, 4.0),
        (7, None, 60.0),
        (90_000, None, 60.0),
        (0, None, 1.0),
        (5, 0.2, 0.2),
    ],
)
def test_pause_of_a_throttled_backend(in_a_row, retry_after_s, pause_s):
    """All workers leave a throttled backend alone for what it said, else for 1 s doubling to 60 s."""
    assert throttle_pause_s(in_a_row, retry_after_s) == pause_s
