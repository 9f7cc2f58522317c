"""A worker's own use of its limits: the share it lives on while Redis is away, judged by brute force."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.judge import max_in_window

from optimizer_state.windows import SLOTS, OwnUse, Slot, Window

MARGIN_MS = 250

windows = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from([500, 1_000, 3_000, 60_000])),
    min_size=1,
    max_size=2,
    unique_by=lambda w: w[1],
)
# (pause before it, how long it takes, when within that it reaches the backend)
steps = st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 4_000), st.floats(0, 1)), min_size=1, max_size=60)


def simulate(limits, workers, steps, start_ms):
    """Make calls as fast as waits allow; returns when each reached the backend, and how long each waited."""
    use = OwnUse(limits)
    amounts = {limit.name: 1 for limit in limits}
    now, flying, arrivals, waits = float(start_ms), [], [], []
    for number, (pause, duration, part) in enumerate(steps):
        now += pause
        began = now
        while True:
            for end, name in [call for call in flying if call[0] <= now]:
                use.settle(name, end + MARGIN_MS, reported=False)
                flying.remove((end, name))
            wait = use.wait_ms(amounts, workers, now)
            if not wait:
                break
            now += wait
        waits.append(now - began)
        use.hold(str(number), dict(amounts))
        flying.append((now + duration, str(number)))
        arrivals.append(now + part * (duration + MARGIN_MS))
    return arrivals, waits


@settings(max_examples=150, deadline=None)
@given(windows, st.integers(1, 4), steps, st.integers(0, 10**13))
def test_no_window_exceeds_its_share(limits, workers, steps, start_ms):
    """Whoever obeys the waits never has more calls at the backend in any window than its share of each limit."""
    limits = [Window(f"w{ms}", count, ms) for count, ms in limits]
    arrivals, _ = simulate(limits, workers, steps, start_ms)

    for limit in limits:
        share = max(1, math.floor(0.8 * limit.count / workers))
        assert max_in_window(arrivals, limit.window_ms)[0] <= share


@settings(max_examples=100, deadline=None)
@given(windows, st.integers(1, 4), steps)
def test_nobody_waits_for_nothing(limits, workers, steps):
    """A wait lasts no longer than the calls in flight, the longest window, its slot and the margin."""
    limits = [Window(f"w{ms}", count, ms) for count, ms in limits]
    longest = max(limit.window_ms + limit.slot_ms for limit in limits)
    _, waits = simulate(limits, workers, steps, 0)

    assert max(waits) <= longest + max(duration for _, duration, _ in steps) + MARGIN_MS + 200


def test_the_share_is_used():
    """Calls that end at once use the whole share of a window, and the next one waits until the window has left."""
    use = OwnUse([Window("w", 10, 6_000)])
    for number in range(4):
        assert use.wait_ms({"w": 1}, 2, 1_000) == 0
        use.hold(str(number), {"w": 1})
        use.settle(str(number), 1_000, reported=False)

    assert use.wait_ms({"w": 1}, 2, 1_000) == 6_100
    assert use.wait_ms({"w": 1}, 2, 7_099) == 1
    assert use.wait_ms({"w": 1}, 2, 7_100) == 0


def test_at_least_one_call():
    """However many workers share a small limit, each may make one call at a time."""
    use = OwnUse([Window("w", 3, 1_000)])

    assert use.wait_ms({"w": 1}, 50, 0) == 0
    use.hold("a", {"w": 1})
    assert use.wait_ms({"w": 1}, 50, 0) > 0


def test_no_limits_no_wait():
    """Without limits nobody waits."""
    assert OwnUse([]).wait_ms({}, 1, 0) == 0


def test_calls_that_were_never_sent():
    """A call that was never written, or is not known, counts nowhere."""
    use = OwnUse([Window("w", 5, 1_000)])
    use.hold("a", {"w": 1})
    use.settle("a", None, reported=False)
    use.settle("unknown", 5, reported=False)

    assert use.slots(5) == []
    assert list(use.flying()) == []


def test_what_redis_must_be_told():
    """Slots tell what was used, and what of it Redis does not know yet; calls in flight are told with their slot."""
    use = OwnUse([Window("w", 5, 60_000)])
    for name, reported in (("a", True), ("b", False), ("c", False)):
        use.hold(name, {"w": 1})
        use.settle(name, 2_500, reported=reported)
    use.hold("d", {"w": 1})

    assert use.slots(3_000) == [Slot("w", 2, 3, 2)]
    assert list(use.flying()) == [("d", "w", 1_000.0, 1)]
    told = use.slots(3_000)
    use.settle("d", 2_500, reported=False)
    use.reported(told)
    assert use.slots(3_000) == [Slot("w", 2, 4, 1)]


@pytest.mark.parametrize(("now_ms", "counts"), [(62_999, True), (63_000, False)])
def test_a_slot_counts_until_it_has_wholly_left(now_ms, counts):
    """A slot counts until its end, not its beginning, has left the window; then it is forgotten."""
    use = OwnUse([Window("w", 5, 60_000)])
    use.hold("a", {"w": 1})
    use.settle("a", 2_001, reported=False)

    assert bool(use.slots(now_ms)) is counts
    assert bool(use._slots["w"]) is counts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(1, 5)), max_size=50), st.integers(0, 400_000))
def test_slots_by_brute_force(calls, now_ms):
    """The slots hold every call of the last window, and none that is older than a window and a slot."""
    use = OwnUse([Window("w", 5, 60_000)])
    for number, (at, amount) in enumerate(calls):
        use.hold(str(number), {"w": amount})
        use.settle(str(number), at, reported=True)
    counted = sum(slot.amount for slot in use.slots(now_ms))

    assert counted >= sum(amount for at, amount in calls if at > now_ms - 60_000)
    assert counted <= sum(amount for at, amount in calls if at > now_ms - 60_000 - 60_000 / SLOTS)
