"""The circuit breaker as a worker knows it while Redis is away."""

from hypothesis import given
from hypothesis import strategies as st

from optimizer_config.model import BreakerSettings
from optimizer_state.breaker import LocalBreaker
from optimizer_state.grants import BreakerChange

SETTINGS = BreakerSettings(failures=3, within_s=10.0, open_s=5.0)


def opened(at_ms=1_000):
    breaker = LocalBreaker(SETTINGS)
    for number in range(3):
        breaker.settle(str(number), "ill", at_ms)
    return breaker


def test_failures_within_the_time_open_it():
    """As many failures as configured within the time open it, and it says so once."""
    breaker = LocalBreaker(SETTINGS)
    changes = [breaker.settle(str(at), "ill", at) for at in (0, 4_000, 9_000, 9_001)]

    assert changes == [None, None, BreakerChange("open", 3, 5_000), None]
    assert breaker.wait_ms(9_000) == 5_000


def test_failures_that_are_too_far_apart():
    """Failures that do not fall into one period leave it closed; answers and unknown ends do not count."""
    breaker = LocalBreaker(SETTINGS)
    for number in range(20):
        assert breaker.settle(f"i{number}", "ill", number * 6_000) is None
        assert breaker.settle(f"w{number}", "well", number * 6_000) is None
        assert breaker.settle(f"u{number}", "unknown", number * 6_000) is None

    assert breaker.state(120_000) == "closed"


def test_one_probe_decides():
    """After the time one call goes first; others wait, and only its end decides."""
    breaker = opened()
    assert breaker.state(5_999) == "open"
    assert breaker.state(6_000) == "half_open"
    assert breaker.wait_ms(6_000) == 0
    breaker.probe("p")

    assert breaker.wait_ms(6_000) > 0
    assert breaker.settle("another", "well", 6_500) is None
    assert breaker.settle("p", "well", 6_500) == BreakerChange("closed")
    assert breaker.wait_ms(6_500) == 0


def test_a_probe_that_fails_opens_it_again():
    """A probe that fails opens it anew; one whose end says nothing gives its place to the next."""
    breaker = opened()
    breaker.probe("p")

    assert breaker.settle("p", "unknown", 6_500) is None
    assert breaker.wait_ms(6_500) == 0
    breaker.probe("q")
    assert breaker.settle("q", "ill", 7_000) == BreakerChange("open", 1, 5_000)
    assert breaker.wait_ms(7_000) == 5_000


def test_it_takes_over_what_the_fleet_knows():
    """Failures that the fleet saw count with this worker's own."""
    breaker = LocalBreaker(SETTINGS)
    breaker.learn(None, (500.0, 600.0))

    assert breaker.settle("own", "ill", 1_000) == BreakerChange("open", 3, 5_000)
    breaker.learn(None, ())
    assert breaker.state(1_000) == "closed"


def test_none_is_configured():
    """Without a number of failures it never opens."""
    breaker = LocalBreaker(BreakerSettings(failures=0))

    assert all(breaker.settle(str(n), "ill", n) is None for n in range(100))


@given(st.lists(st.tuples(st.sampled_from(["well", "ill", "unknown"]), st.integers(0, 4_000)), max_size=60))
def test_it_opens_exactly_when_enough_failed(ends):
    """A closed breaker opens with the call that is the third failure of the last ten seconds, and never else."""
    breaker, now, failures = LocalBreaker(SETTINGS), 0, []
    for number, (health, pause) in enumerate(ends):
        now += pause
        failures = [*failures, now] if health == "ill" else failures
        enough = health == "ill" and sum(at > now - 10_000 for at in failures) >= 3
        change = breaker.settle(str(number), health, now)

        assert (change is not None) == enough
        if change:
            return
