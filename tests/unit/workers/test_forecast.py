"""When held calls can start, and which of them surely miss their deadline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.forecasts import Due, earliest_starts, expected_starts, told_early

from optimizer_workers.forecast import Line, Supply, per_call_ms

WINDOW = 100


@pytest.mark.parametrize(
    ("supply", "starts"),
    [
        (Supply(), [0, 0, 0]),
        (Supply(closed_ms=70), [70, 70, 70]),
        (Supply(count=2, window_ms=WINDOW, frees=((30, 1), (50, 1))), [30, 50, 130]),
        (Supply(count=2, window_ms=WINDOW, frees=((30, 2),)), [30, 30, 130]),
        (Supply(count=2, window_ms=WINDOW, frees=((30, 1),)), [0, 30, 100]),
        (Supply(count=2, window_ms=WINDOW, frees=((30, 2), (60, 1))), [30, 60, 130]),
        (Supply(count=1, window_ms=WINDOW, frees=((30, 1),), closed_ms=40), [40, 140, 240]),
        (Supply(count=2, window_ms=WINDOW, frees=((130, 2),)), [100, 100, 200]),
        (Supply(count=2, window_ms=WINDOW, frees=((30, 2),), reset_in_ms=30), [30, 30, 130]),
        (Supply(count=1, window_ms=WINDOW, reset_in_ms=30), [0, 30, 130]),
        (Supply(concurrency=2, call_ms=25), [0, 0, 25]),
        (Supply(count=9, window_ms=WINDOW, concurrency=1, call_ms=25), [0, 25, 50]),
        (Supply(count=0, window_ms=WINDOW, frees=((30, 1),)), [30, 130, 230]),
    ],
)
def test_earliest_starts(supply, starts):
    """A call starts when what it needs has left the window; it leaves it a window later, or at the reset."""
    assert earliest_starts([1, 1, 1], supply) == starts


def test_costs_are_in_the_dimension_of_the_limit():
    """A large call waits for enough, no smaller one goes before it; more than the limit waits for an empty window."""
    supply = Supply(count=10, window_ms=WINDOW, frees=((10, 4), (20, 4), (30, 2)))

    assert earliest_starts([5, 1, 50], supply) == [20, 20, 120]


def test_expected_starts():
    """Each worker gets its part of what becomes free and of the places; what is in flight leaves as if half done."""
    supply = Supply(count=4, window_ms=WINDOW, frees=((10, 2), (20, 2)), call_ms=20)
    assert expected_starts([1, 1, 1], supply, 2) == [10, 20, 110]
    assert expected_starts([1, 1, 1], supply, 1) == earliest_starts([1, 1, 1], supply)

    slots = Supply(concurrency=4, call_ms=30)
    assert expected_starts([1, 1, 1], slots, 2) == [0, 0, 30]
    assert expected_starts([1, 1, 1], slots, 9) == [0, 30, 60]

    flying = Supply(count=4, window_ms=WINDOW, frees=((10, 2),), call_ms=20)
    assert expected_starts([1, 1, 1], flying, 1) == [10, 10, 90]


@pytest.mark.parametrize(
    ("supply", "cost", "workers", "expected"),
    [
        (Supply(), 5, 3, 0),
        (Supply(count=60, window_ms=60_000), 1, 1, 1_000),
        (Supply(count=60_000, window_ms=60_000), 700, 3, 2_100),
        (Supply(count=60, window_ms=60_000, concurrency=4, call_ms=8_000), 1, 2, 4_000),
    ],
)
def test_the_long_run(supply, cost, workers, expected):
    """In the long run a call takes its part of the window, or of the concurrency if that is longer, of each worker."""
    assert per_call_ms(cost, supply, workers) == expected


frees = st.lists(st.tuples(st.integers(0, WINDOW), st.integers(1, 5)), max_size=8).map(sorted)
costs = st.lists(st.integers(1, 6), min_size=1, max_size=15)


@given(frees, costs, st.integers(6, 30), st.integers(0, 40), st.integers(0, 90), st.integers(1, 4))
def test_starts_are_exact(leaving, wanted, count, least_ms, closed_ms, concurrency):
    """No window and no concurrency is exceeded at any time, and no call could start 1 ms earlier."""
    supply = Supply(closed_ms, count, WINDOW, tuple(leaving), None, concurrency, least_ms)
    starts = earliest_starts(wanted, supply)

    def fits(index, at_ms):
        before = list(zip(starts, wanted, strict=True))[:index]
        used = sum(amount for in_ms, amount in leaving if in_ms > at_ms)
        used += sum(cost for start, cost in before if start + WINDOW > at_ms)
        running = sum(start + least_ms > at_ms for start, _ in before)
        return used + wanted[index] <= count and running < concurrency

    for index, at_ms in enumerate(starts):
        assert fits(index, at_ms)
        floor = max(closed_ms, starts[index - 1] if index else 0)
        assert at_ms >= floor
        assert at_ms == floor or not fits(index, at_ms - 1)


@given(frees, costs, st.integers(6, 30), st.integers(1, 4))
def test_expected_is_never_before_the_earliest(leaving, wanted, count, workers):
    """Sharing with others, or waiting for what is in flight, makes nothing sooner."""
    supply = Supply(0, count, WINDOW, tuple(leaving))
    earliest, expected = earliest_starts(wanted, supply), expected_starts(wanted, supply, workers)

    assert all(one <= other for one, other in zip(earliest, expected, strict=True))


def test_who_is_told_early():
    """Told is who misses its deadline even at best; it takes nothing, so that a later call may take its place."""
    supply = Supply(count=1, window_ms=WINDOW, frees=((50, 1),))
    calls = [Due(1, 59), Due(1, 60), Due(1, 159), Due(1, 160)]

    assert told_early(calls, supply, 10) == [0, 2]
    assert told_early(calls, Supply(closed_ms=151), 10) == [0, 1, 2, 3]


@given(frees, st.lists(st.builds(Due, st.integers(1, 6), st.integers(0, 400)), max_size=15), st.integers(6, 30))
def test_only_who_surely_misses_is_told(leaving, calls, count):
    """Those that are not told can all be answered in time if everything goes well."""
    supply = Supply(0, count, WINDOW, tuple(leaving))
    told = told_early(calls, supply, 20)
    kept = [call for index, call in enumerate(calls) if index not in told]
    starts = earliest_starts([call.cost for call in kept], supply)

    assert all(start + 20 <= call.left_ms for start, call in zip(starts, kept, strict=True))
    for index in told:
        before = [call.cost for number, call in enumerate(calls[:index]) if number not in told]
        assert earliest_starts([*before, calls[index].cost], supply)[-1] + 20 > calls[index].left_ms


def test_a_look_changes_nothing():
    """To look when a call could start leaves its place to the next one."""
    line = Line.expected(Supply(count=2, window_ms=WINDOW, frees=((10, 1), (20, 1))), 1)

    assert (line.start_ms(2), line.start_ms(1), line.start(1), line.start_ms(1)) == (20, 10, 10, 20)


def test_much_is_quick():
    """A forecast for a thousand calls does not scan the window for each of them."""
    supply = Supply(count=60_000, window_ms=60_000, frees=tuple((1_000 * slot, 1_000) for slot in range(60)))

    assert len(earliest_starts([700] * 1_000, supply)) == 1_000
