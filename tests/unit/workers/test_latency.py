"""What is known of how long calls take."""

from optimizer_workers.latency import Latency


def of(*durations_ms):
    latency = Latency()
    for ms in durations_ms:
        latency.add(ms)
    return latency.least_ms, latency.median_ms, latency.longest_ms


def test_nothing_is_known_at_first():
    """Before the first call everything is 0: no call is told that it would take too long."""
    assert of() == (0, 0, 0)


def test_the_last_calls_count():
    """The last 32 durations count: one slow call among them does not move the median, older ones are forgotten."""
    assert of(9.9) == (9, 9, 9)
    assert of(5, 900, 6) == (5, 6, 900)
    assert of(1, 5_000, *range(100, 132)) == (100, 115, 131)
