"""The share a worker lives on while Redis is away, judged by brute force."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.judge import max_in_window, max_weight_in_window

from optimizer_state.fleet_view import FleetView, Level, Look
from optimizer_state.local_share import LocalShare
from optimizer_state.windows import Window

windows = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from([500, 1_000, 3_000, 60_000])),
    min_size=1,
    max_size=2,
    unique_by=lambda w: w[1],
)
# (pause before it, how long it takes, when within that it is written, when within the margin it arrives)
steps = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(0, 4_000), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60
)
MINUTE = Window("w", 10, 60_000)


def look(windows, *, seen_ms=0, slots=None, flying=0, counts=None):
    levels = {w.name: Level((counts or {}).get(w.name, w.count), flying=flying) for w in windows}
    return Look(True, FleetView(seen_ms=seen_ms, levels=levels), {}, slots or {}, (), None)


def share_of(*windows, max_workers=1, **seen):
    share = LocalShare(windows, max_workers)
    share.learn(look(windows, **seen))
    return share


def use(share, number, amount=1, at=0):
    for each in range(number):
        share.hold(f"{at}-{each}", {"w": amount}, at)
        share.settle(f"{at}-{each}", at, at, None)


def simulate(share, limits, workers, steps, start_ms):
    """Make calls as fast as waits allow; returns when each reached the backend, and how long each waited."""
    amounts = {limit.name: 1 for limit in limits}
    now, flying, arrivals, waits = float(start_ms), [], [], []

    def advance(to):
        """What was written and what ended up to now, in order."""
        for at, name, written in sorted(flying, key=lambda event: event[0]):
            if at <= to:
                flying.remove((at, name, written))
                share.written(name, at) if written is None else share.settle(name, written, at, None)

    for number, (pause, duration, wrote, part) in enumerate(steps):
        now += pause
        began = now
        while True:
            advance(now)
            wait = share.wait_ms(amounts, workers, now)
            if not wait:
                break
            now += wait
        waits.append(now - began)
        name, written, end = str(number), now + wrote * duration, now + duration
        share.hold(name, dict(amounts), now)
        flying += [(written, name, None), (end, name, written)]
        margin = min(limit.margin_ms for limit in limits)
        arrivals.append(min(written + part * margin, end))
    return arrivals, waits


@settings(max_examples=150, deadline=None)
@given(windows, st.integers(1, 4), steps, st.integers(0, 10**13))
def test_no_window_exceeds_its_share(limits, workers, steps, start_ms):
    """Whoever obeys the waits never has more calls at the backend in any window than its share of each limit."""
    limits = [Window(f"w{ms}", count, ms) for count, ms in limits]
    arrivals, _ = simulate(share_of(*limits, seen_ms=start_ms), limits, workers, steps, start_ms)

    for limit in limits:
        share = max(1, math.floor(0.8 * limit.count / workers))
        assert max_in_window(arrivals, limit.window_ms)[0] <= share


@settings(max_examples=100, deadline=None)
@given(windows, st.integers(1, 4), steps)
def test_nobody_waits_for_nothing(limits, workers, steps):
    """A wait lasts no longer than the calls in flight, the longest window, its slot and the margin."""
    limits = [Window(f"w{ms}", count, ms) for count, ms in limits]
    longest = max(limit.window_ms + limit.slot_ms + limit.margin_ms for limit in limits)
    _, waits = simulate(share_of(*limits), limits, workers, steps, 0)

    assert max(waits) <= longest + max(duration for _, duration, _, _ in steps) + 200


@settings(max_examples=100, deadline=None)
@given(
    st.integers(10, 40),
    st.integers(1, 3),
    st.lists(st.tuples(st.integers(0, 59), st.integers(1, 10)), max_size=20),
    st.lists(st.integers(0, 20_000), min_size=1, max_size=60),
)
def test_the_fleet_together_keeps_the_limit(count, workers, used, pauses):
    """All workers on their own, and what the fleet used before, stay within 0.8 of the limit, or where they were."""
    limit = Window("w", count, 60_000)
    slots = {}
    for slot, amount in used:
        if sum(slots.values()) + amount <= count:
            slots[slot] = slots.get(slot, 0) + amount
    shares = [share_of(limit, seen_ms=60_000, slots={"w": dict(slots)}) for _ in range(workers)]
    arrivals = [((slot + 1) * 1_000 - 1, amount) for slot, amount in slots.items()]
    now = 60_000
    for number, pause in enumerate(pauses):
        now += pause
        for share in shares:
            if share.wait_ms({"w": 1}, workers, now) == 0 and 0.8 * count / workers >= 1:
                share.hold(str(number), {"w": 1}, now)
                share.settle(str(number), now, now, None)
                arrivals.append((now, 1))

    worst = max_weight_in_window(arrivals, 60_000)[0]
    assert worst <= max(0.8 * count, sum(slots.values()))


def test_the_share_is_used():
    """Calls that end at once use the whole share of a window, and the next one waits until the window has left."""
    share = share_of(Window("w", 10, 6_000))
    for number in range(4):
        assert share.wait_ms({"w": 1}, 2, 1_000) == 0
        share.hold(str(number), {"w": 1}, 1_000)
        share.settle(str(number), 1_000, 1_000, None)

    assert share.wait_ms({"w": 1}, 2, 1_000) == 6_100
    assert share.wait_ms({"w": 1}, 2, 7_099) == 1
    assert share.wait_ms({"w": 1}, 2, 7_100) == 0


def test_at_least_one_call():
    """However many workers share a small limit, each may make one call at a time."""
    share = share_of(Window("w", 3, 1_000))

    assert share.wait_ms({"w": 1}, 50, 0) == 0
    share.hold("a", {"w": 1}, 0)
    assert share.wait_ms({"w": 1}, 50, 0) > 0


def test_what_the_fleet_used_is_taken_off():
    """What all workers had used by the last look, in flight or not, leaves the share smaller until it has left."""
    share = share_of(MINUTE, seen_ms=10_000, slots={"w": {5: 2}}, flying=2)
    use(share, 2, at=10_100)

    assert share.wait_ms({"w": 1}, 2, 10_200) == 66_000 - 10_200
    assert share.wait_ms({"w": 1}, 2, 66_000) == 0


def test_a_limit_that_was_used_up_stays_closed():
    """Where the fleet had used up a limit, nobody goes on: a long window is not opened again by an outage."""
    share = share_of(MINUTE, seen_ms=1_000, slots={"w": {0: 10}})
    small = share_of(Window("w", 2, 60_000), seen_ms=1_000, slots={"w": {0: 2}})

    assert share.wait_ms({"w": 1}, 2, 2_000) == 59_000
    assert small.wait_ms({"w": 1}, 5, 2_000) == 59_000


def test_a_worker_that_never_saw_redis():
    """Without any look a worker takes its part among the most workers that are configured."""
    share = LocalShare((MINUTE,), 5)
    use(share, 1)
    assert share.wait_ms({"w": 1}, 1, 0) == 0
    use(share, 1, at=1)

    assert share.wait_ms({"w": 1}, 1, 2) > 0


def test_a_look_takes_over_what_was_used():
    """What was used before a look is in it; what was granted since counts as this worker's own."""
    share = share_of(MINUTE)
    use(share, 4, at=1_000)
    share.hold("flying", {"w": 1}, 4_990)
    share.learn(look([MINUTE], seen_ms=5_000, slots={"w": {1: 4}}))

    assert [share.wait_ms({"w": 1}, 2, 5_000), share.wait_ms({"w": 2}, 2, 5_000)] == [0, 62_000 - 5_000]


def test_an_amount_larger_than_the_limit():
    """A call that takes more than there is waits for an empty window, and is made then."""
    share = share_of(MINUTE)
    assert share.wait_ms({"w": 50}, 2, 0) == 0
    use(share, 1)

    assert share.wait_ms({"w": 50}, 2, 10) == 61_000 - 10


def test_refusals_halve_the_share():
    """After a 429 the share is halved, again after another, and creeps back."""
    share = share_of(MINUTE)
    use(share, 4)
    assert share.wait_ms({"w": 1}, 1, 1) == 0
    share.throttled(1_000)

    assert share.factor(1_000) == 0.5
    assert share.wait_ms({"w": 1}, 1, 1_000) > 0
    share.throttled(1_000)
    assert share.factor(1_000) == 0.25
    assert share.factor(26_000) == pytest.approx(0.5)
    assert share.factor(200_000) == 1.0


def test_counts_that_operators_set():
    """The count that operators have set holds in place of the configured one."""
    share = share_of(MINUTE, counts={"w": 20})
    use(share, 15)

    assert share.wait_ms({"w": 1}, 1, 0) == 0
    use(share, 1, at=1)
    assert share.wait_ms({"w": 1}, 1, 2) > 0


def test_no_limits_no_wait():
    """Without limits nobody waits."""
    assert LocalShare((), 1).wait_ms({}, 1, 0) == 0
