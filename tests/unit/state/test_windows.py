"""Where calls count in sliding and fixed windows, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_config.amounts import Amounts
from optimizer_config.model import Limit, Reset
from optimizer_state.windows import Window, amounts_by_window, windows_of

DAY_MS = 86_400_000
sizes_ms = st.integers(50, 2 * DAY_MS)
times_ms = st.floats(0, 4e12)


@pytest.mark.parametrize(
    ("window_ms", "margin_ms"), [(100, 75), (1_000, 75), (2_000, 100), (5_000, 250), (60_000, 250)]
)
def test_margin(window_ms, margin_ms):
    """A request arrives a twentieth of the window after it was written, but at least 75 and at most 250 ms."""
    assert Window("w", 1, window_ms).margin_ms == margin_ms


@given(sizes_ms, times_ms)
def test_a_slot_counts_for_the_window_and_little_more(window_ms, at_ms):
    """What arrives at some time counts for a whole window, and for at most a slot more."""
    window = Window("w", 1, window_ms)
    (slot,) = window.slots_of(at_ms, at_ms)

    assert at_ms + window_ms <= window.leaves_ms(slot) * (1 + 1e-12)
    assert window.leaves_ms(slot) <= (at_ms + window_ms + window.slot_ms) * (1 + 1e-12)
    assert window.counts(slot, at_ms)


def test_a_call_at_the_end_of_a_period_counts_in_both():
    """A call reserved before a fixed window begins anew, that may arrive after, counts in both periods."""
    window = Window("rpd", 1, DAY_MS, reset=Reset())

    assert window.slots_of(DAY_MS - 100, DAY_MS - 1) == (0,)
    assert window.slots_of(DAY_MS - 100, DAY_MS) == (0, DAY_MS)
    assert window.slots_of(DAY_MS, DAY_MS + 5) == (DAY_MS,)


def test_a_period_counts_from_its_start_to_its_end():
    """What was used in a period counts until the next one begins; the next one's does not count before."""
    window = Window("rpd", 1, DAY_MS, reset=Reset())

    assert window.counts(0, DAY_MS - 1)
    assert not window.counts(0, DAY_MS)
    assert not window.counts(DAY_MS, DAY_MS - 1)


def test_what_a_call_takes():
    """Each limit takes its dimension of a call, and none of it from models that it does not hold for."""
    windows = windows_of(
        [
            Limit("rpm", "requests", 5, 60.0),
            Limit("tpm", "tokens", 100, 60.0),
            Limit("usd_per_day", "usd", 1_000_000, 86_400.0, reset=Reset()),
            Limit("big:rpd", "requests", 3, 86_400.0, models=("big", "bigger")),
        ]
    )
    amounts = Amounts(1, 20, 30, 400)

    assert amounts_by_window(windows, "small", amounts) == {"rpm": 1, "tpm": 50, "usd_per_day": 400}
    assert amounts_by_window(windows, "big", amounts)["big:rpd"] == 1
    assert [window.slot_ms for window in windows] == [1_000, 1_000, 0, 1_440_000]
