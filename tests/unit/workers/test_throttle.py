"""For how long a backend is left alone after a refusal."""

import pytest

from optimizer_backends.outcome import Outcome
from optimizer_workers.throttle import Block, block_after


@pytest.mark.parametrize(
    ("outcome", "retry_after_s", "block"),
    [
        (Outcome.throttled, None, Block(None, "throttled")),
        (Outcome.throttled, 2.5, Block(2.5, "throttled")),
        (Outcome.ramp, 0.0, Block(0.0, "ramp")),
        (Outcome.quota_day, None, Block(3600.0, "quota_day")),
        # Some providers name a pause of seconds together with a day's quota.
        (Outcome.quota_day, 2.0, Block(60.0, "quota_day")),
        (Outcome.quota_day, 7_200.0, Block(7_200.0, "quota_day")),
        (Outcome.quota_day, 1e9, Block(86_400.0, "quota_day")),
        (Outcome.billing, 5.0, Block(3600.0, "billing")),
        (Outcome.unauthorized, None, Block(300.0, "unauthorized")),
    ],
)
def test_refusals_block(outcome, retry_after_s, block):
    """A refusal blocks for as long as the response says, or for long if it is a matter of quotas, money or keys."""
    assert block_after(outcome, retry_after_s) == block


@pytest.mark.parametrize(
    "outcome",
    [
        o
        for o in Outcome
        if o not in {Outcome.throttled, Outcome.ramp, Outcome.quota_day, Outcome.billing, Outcome.unauthorized}
    ],
)
def test_other_outcomes_do_not(outcome):
    """What says nothing about later calls blocks none."""
    assert block_after(outcome, 10.0) is None


def test_a_days_quota_that_is_known_to_begin_anew():
    """A day's quota parks its backend until the day begins anew, if the response does not say and it is configured."""
    assert block_after(Outcome.quota_day, None, 5_000.0) == Block(5_000.0, "quota_day")
    assert block_after(Outcome.quota_day, 100.0, 5_000.0) == Block(100.0, "quota_day")
    assert block_after(Outcome.throttled, None, 5_000.0) == Block(None, "throttled")
