"""A worker's own use of its limits, and what it tells a Redis that does not know it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer_config.model import Reset
from optimizer_state.own_use import OwnUse, Part, Slot
from optimizer_state.windows import SLOTS, Window

DAY_MS = 86_400_000
MINUTE = Window("w", 5, 60_000)
DAY = Window("d", 5, DAY_MS, reset=Reset())


def test_calls_that_were_never_sent():
    """A call that was never written, or is not known, counts nowhere."""
    use = OwnUse([MINUTE])
    use.hold("a", {"w": 1}, 0)
    use.settle("a", None, 5, reported=False)
    use.settle("unknown", 5, 5, reported=False)

    assert use.slots(5) == []
    assert list(use.parts()) == []


def test_calls_without_limits():
    """A call in flight that takes no limit is told as a call all the same."""
    use = OwnUse([MINUTE])
    use.hold("a", {}, 2_000)

    assert [(part.reservation, part.limit) for part in use.parts()] == [("a", "")]


def test_what_redis_must_be_told():
    """Slots tell what was used, and what of it Redis does not know yet; calls in flight are told with their slot."""
    use = OwnUse([MINUTE])
    for name, reported in (("a", True), ("b", False), ("c", False)):
        use.hold(name, {"w": 1}, 2_000)
        use.settle(name, 2_500, 2_500, reported=reported)
    use.hold("d", {"w": 1}, 2_000)

    assert use.slots(3_000) == [Slot("w", 2, 3, 2)]
    assert list(use.parts()) == [Part("d", "w", 1_000.0, 1, 250, 0, 0, 0, False)]
    told = use.slots(3_000)
    use.settle("d", 2_500, 2_600, reported=False)
    use.reported(told)
    assert use.slots(3_000) == [Slot("w", 2, 4, 1)]


def test_a_call_counts_when_it_arrives():
    """What counts is a margin after the request was written, or the end of the call if that comes first."""
    use = OwnUse([MINUTE])
    for name, ended in (("short", 2_900), ("long", 9_000)):
        use.hold(name, {"w": 1}, 2_000)
        use.settle(name, 2_800, ended, reported=True)

    assert use.slots(9_000) == [Slot("w", 2, 1, 0), Slot("w", 3, 1, 0)]


def test_real_usage_replaces_the_estimate():
    """What a call really took counts in place of the estimate, before and after its arrival was known."""
    use = OwnUse([Window("tpm", 1_000, 60_000, "tokens")])
    for name in ("unknown", "known"):
        use.hold(name, {"tpm": 100}, 0)
    use.arrive("known", 100, reported=True)
    assert use.used("tpm", 500) == {0: 100}
    assert use.flying("tpm") == 100
    for name, tokens in (("unknown", 40), ("known", 250)):
        use.settle(name, 100, 500, {"tpm": tokens}, reported=False)

    assert use.slots(500) == [Slot("tpm", 0, 290, 190)]
    assert use.flying("tpm") == 0


def test_a_call_that_has_arrived_does_not_fly():
    """Once a call is known to be written it leaves its window, though it still runs."""
    use = OwnUse([Window("w", 5, 1_000)])
    use.hold("a", {"w": 1}, 10_000)
    assert use.flying("w") == 1
    use.arrive("a", 10_100, reported=True)

    assert use.flying("w") == 0
    assert sum(use.used("w", 11_000).values()) == 1
    assert use.used("w", 11_200) == {}
    # Written at 10,100 ms, it has arrived 75 ms later at the latest: in slot 610 of a sixtieth of a second each.
    assert next(use.parts()).slot == 610


def test_a_fixed_window_in_both_periods():
    """A call at the end of a period is told to count in the next one too."""
    use = OwnUse([DAY])
    use.hold("a", {"d": 1}, DAY_MS - 500)
    use.arrive("a", DAY_MS - 100, reported=True)

    assert list(use.parts()) == [Part("a", "d", 0.0, 1, 250, 0, DAY_MS, 0, True)]
    assert use.used("d", DAY_MS - 1) == {0: 1}
    assert use.used("d", DAY_MS) == {DAY_MS: 1}
    assert use.used("d", 2 * DAY_MS) == {}


def test_what_was_reserved_since():
    """Of what is in flight, only what was reserved since a time can be kept; it goes on as it was."""
    use = OwnUse([MINUTE])
    for name, at in (("old", 1_000), ("new", 5_000), ("written", 5_100)):
        use.hold(name, {"w": 1}, at)
    use.arrive("written", 5_200, reported=True)
    recent = use.since(5_000)

    assert recent.flying("w") == 1
    assert recent.used("w", 6_000) == {5: 1}
    recent.settle("old", 1_000, 6_000, reported=True)
    recent.settle("written", 5_200, 6_000, reported=True)
    assert recent.used("w", 6_000) == {5: 1}


@pytest.mark.parametrize(("now_ms", "counts"), [(62_999, True), (63_000, False)])
def test_a_slot_counts_until_it_has_wholly_left(now_ms, counts):
    """A slot counts until its end, not its beginning, has left the window; then it is forgotten."""
    use = OwnUse([MINUTE])
    use.hold("a", {"w": 1}, 2_000)
    use.settle("a", 2_001, 2_001, reported=False)

    assert bool(use.slots(now_ms)) is counts
    assert bool(use._slots["w"]) is counts


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(1, 5)), max_size=50), st.integers(0, 400_000))
def test_slots_by_brute_force(calls, now_ms):
    """The slots hold every call of the last window, and none that is older than a window and a slot."""
    use = OwnUse([MINUTE])
    for number, (at, amount) in enumerate(calls):
        use.hold(str(number), {"w": amount}, at)
        use.settle(str(number), at, at, reported=True)
    counted = sum(slot.amount for slot in use.slots(now_ms))

    assert counted >= sum(amount for at, amount in calls if at > now_ms - 60_000)
    assert counted <= sum(amount for at, amount in calls if at > now_ms - 60_000 - 60_000 / SLOTS)
