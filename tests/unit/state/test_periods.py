"""Fixed windows: periods that begin anew at a wall-clock time."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_config.model import Reset
from optimizer_state.periods import period

ZONES = ["UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
resets = st.builds(
    Reset, st.sampled_from(["day", "month"]), st.integers(0, 23), st.integers(0, 59), st.sampled_from(ZONES)
)
times_ms = st.integers(0, 4_000_000_000_000)


def at_ms(text, zone="UTC"):
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("reset", "now", "start", "end"),
    [
        (Reset(), "2026-03-05 12:00", "2026-03-05 00:00", "2026-03-06 00:00"),
        (Reset(), "2026-03-05 00:00", "2026-03-05 00:00", "2026-03-06 00:00"),
        (Reset(hour=7, minute=30), "2026-03-05 07:29", "2026-03-04 07:30", "2026-03-05 07:30"),
        (Reset("month"), "2026-12-31 23:59", "2026-12-01 00:00", "2027-01-01 00:00"),
        (Reset("month", hour=6), "2026-01-01 05:00", "2025-12-01 06:00", "2026-01-01 06:00"),
    ],
)
def test_periods_in_utc(reset, now, start, end):
    """A period begins at its time of day, on every day or every first of a month."""
    assert period(reset, at_ms(now)) == (at_ms(start), at_ms(end))


def test_midnight_elsewhere():
    """A provider's day ends at its own midnight, also on a day of 23 hours."""
    zone = "America/Los_Angeles"
    start, end = period(Reset(zone=zone), at_ms("2026-03-08 12:00", zone))

    assert start == at_ms("2026-03-08 00:00", zone)
    assert end - start == 23 * 3_600_000
    assert datetime.fromtimestamp(start / 1000, UTC).hour == 8


@given(resets, times_ms)
def test_periods_hold_their_time_and_follow_each_other(reset, now_ms):
    """Each moment is in exactly one period, and where one ends the next begins."""
    start, end = period(reset, now_ms)

    assert start <= now_ms < end
    assert period(reset, start) == (start, end)
    assert period(reset, end - 1) == (start, end)
    assert period(reset, end)[0] == end
