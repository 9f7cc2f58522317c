"""Which calls in flight Redis is told to have been written."""

from optimizer_state.arrivals import Arrivals


def test_calls_are_due_when_half_a_window_old():
    """A written call is due once it is older than half of the shortest window; an unwritten one never is."""
    calls = Arrivals(1_000)
    calls.begin("written", 0)
    calls.begin("unwritten", 0)
    calls.written("written", 30)

    assert calls.due(500) == {}
    assert calls.due(501) == {"written": 30}


def test_each_is_told_once():
    """What was told, or has ended, is not due."""
    calls = Arrivals(1_000)
    for name in ("told", "ended", "due"):
        calls.begin(name, 0)
        assert calls.written(name, 10)
    calls.told("told")
    calls.end("ended")
    calls.told("ended")

    assert calls.due(2_000) == {"due": 10}
    assert list(calls) == ["told", "due"]
    assert len(calls) == 2


def test_the_first_time_counts():
    """A call is written once; a second time, or of a call that is not known, changes nothing."""
    calls = Arrivals(1_000)
    calls.begin("a", 0)

    assert [calls.written("a", 10), calls.written("a", 20), calls.written("b", 5)] == [True, False, False]
    assert calls.due(900) == {"a": 10}


def test_without_sliding_windows_nothing_is_due():
    """Where no window slides, nobody waits for arrivals."""
    calls = Arrivals(None)
    calls.begin("a", 0)
    calls.written("a", 10)

    assert calls.due(10**9) == {}
