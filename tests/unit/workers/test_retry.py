"""What follows from a failed call: another backend, waiting again, another try here, or the end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_backends.outcome import Outcome
from optimizer_workers.retry import Again, Failover, GiveUp, Requeue, after_failure

FAILED = [outcome for outcome in Outcome if not outcome.ok]
HOPELESS = {Outcome.invalid, Outcome.content_filtered, Outcome.cancelled}
# What only says that it was too much for now.
SLOW_DOWN = {Outcome.throttled, Outcome.ramp}
# What the same backend may answer otherwise after a pause.
PASSING = {Outcome.overloaded, Outcome.transient, Outcome.timed_out}
PAUSES_S = (1.0, 2.0, 4.0)


def after(outcome, *, further=False, retries=0, left_s=1_000.0):
    return after_failure(outcome, further=further, retries=retries, pauses_s=PAUSES_S, left_s=left_s)


@pytest.mark.parametrize("outcome", FAILED)
def test_first_to_another_backend(outcome):
    """While the route goes on, whatever another backend may mend goes there at once; the rest ends."""
    expected = Requeue() if outcome in SLOW_DOWN else GiveUp() if outcome in HOPELESS else Failover()

    assert after(outcome, further=True) == expected
    assert after(outcome, further=True, left_s=0.001) == expected


@pytest.mark.parametrize("outcome", FAILED)
def test_on_the_last_backend(outcome):
    """On the last backend what may pass is tried again after 1, 2 and 4 s, what was too much waits; the rest ends."""
    steps = [after(outcome, retries=retries) for retries in range(4)]

    if outcome in SLOW_DOWN:
        assert steps == [Requeue()] * 4
    elif outcome in PASSING:
        assert steps == [Again(1.0), Again(2.0), Again(4.0), GiveUp()]
    else:
        assert steps == [GiveUp()] * 4


@pytest.mark.parametrize(("left_s", "step"), [(1.001, Again(1.0)), (1.0, GiveUp()), (0.0, GiveUp()), (-5.0, GiveUp())])
def test_the_deadline(left_s, step):
    """A pause that would outlast the deadline is not begun."""
    assert after(Outcome.transient, left_s=left_s) == step


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FAILED), st.booleans(), st.integers(0, 10_000), st.floats(-1e6, 1e6))
def test_any_failure(outcome, further, retries, left_s):
    """Every failure has one of four ends, and a pause fits into the time that is left."""
    step = after(outcome, further=further, retries=retries, left_s=left_s)

    assert isinstance(step, Failover | Requeue | Again | GiveUp)
    assert isinstance(step, Failover) is (further and outcome not in HOPELESS | SLOW_DOWN)
    if isinstance(step, Again):
        assert 1.0 <= step.after_s < left_s
