"""Windows and buckets of the simulator count exactly, with the clock passed in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import judge

from optimizer_ops.simulator.limits import Cost, Limiter, SlidingWindow, TokenBucket
from optimizer_ops.simulator.spec import Limit, Limits

ONE = Cost(3, 7)
gaps = st.lists(st.integers(0, 30), max_size=60)


@given(gaps)
def test_a_sliding_window_admits_all_it_can_and_no_more(steps):
    """By the judge's count no window is exceeded, and every refusal was at a full window."""
    limiter = Limiter(Limits(more=(Limit(count=5, per_s=60.0),)))
    admitted, now = [], 0
    for step in steps:
        now += step
        if limiter.admit(now, ONE, 0) is None:
            admitted.append(now)
        else:
            assert sum(1 for at in admitted if now - at < 60) == 5

    assert judge.max_in_window(admitted, 60)[0] <= 5


@given(gaps)
def test_a_token_bucket_refills_evenly(steps):
    """What was admitted by any time is at most the bucket and its refill, and a burst of the whole bucket passes."""
    limiter = Limiter(Limits(rpm=6, algorithm="token_bucket"))
    admitted, now = 0, 0
    for step in steps:
        now += step
        admitted += limiter.admit(now, ONE, 0) is None
        assert admitted <= 6 + now / 10 + 1e-6

    fresh = Limiter(Limits(rpm=6, algorithm="token_bucket"))
    assert [fresh.admit(0, ONE, 0) is None for _ in range(7)] == [True] * 6 + [False]


@pytest.mark.parametrize("kind", [SlidingWindow, TokenBucket])
@given(steps=gaps)
def test_the_wait_that_is_told_is_enough(kind, steps):
    """Asking again after exactly the wait that was told succeeds."""
    window = kind(Limit(count=4, per_s=60.0))
    now = 0.0
    for step in steps:
        now += step
        wait_s = window.wait_s(now, 1)
        now += wait_s
        assert window.wait_s(now, 1) <= 1e-9
        window.take(now, 1)


def test_a_refused_request_uses_nothing():
    """A request that one limit refuses leaves the others as they were."""
    limiter = Limiter(Limits(rpm=1, rpd=10))

    refusals = [limiter.admit(now, ONE, 0) for now in (0, 1, 2)]

    assert [refusal is None for refusal in refusals] == [True, False, False]
    assert [window.used(2) for window in limiter.windows] == [1, 1]


def test_the_longest_wait_is_told():
    """Of several exhausted limits the one that lasts longest is named."""
    limiter = Limiter(Limits(rpm=1, rpd=1))
    limiter.admit(0, ONE, 0)

    refusal = limiter.admit(10, ONE, 0)

    assert refusal is not None
    assert (refusal.limit.per_s, refusal.retry_after_s) == (86400, 86390)


@pytest.mark.parametrize(("limits", "used"), [({"tpm": 25}, 10), ({"itpm": 8}, 3), ({"otpm": 15}, 7)])
def test_tokens_are_counted_by_kind(limits, used):
    """Input, output and all tokens have limits of their own."""
    limiter = Limiter(Limits(**limits))

    results = [limiter.admit(0, ONE, 0) for _ in range(3)]

    assert [result is None for result in results] == [True, True, False]
    assert (results[2].wanted, results[2].used, results[2].of_tokens) == (used, 2 * used, True)


def test_what_can_never_fit_waits_for_ever():
    """A request larger than the limit is refused without a wait that would help."""
    for kind in (SlidingWindow, TokenBucket):
        assert kind(Limit(count=5, per_s=60.0)).wait_s(0, 6) == math.inf


def test_concurrency_refuses_above_its_number():
    """The limit of requests at once looks at how many others there are."""
    limiter = Limiter(Limits(concurrency=2))

    assert limiter.admit(0, ONE, 1) is None
    assert limiter.admit(0, ONE, 2) is not None
