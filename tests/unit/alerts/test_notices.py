"""Who is told what, and when."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer_config.alert_settings import Quiet
from optimizer_ops.alerts.engine import Change
from optimizer_ops.alerts.notices import TRIED_S, TRIES, Notice, give_up, loud_again, notices_of
from optimizer_ops.history.views import AlertRow

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Quiet(22 * 60, 7 * 60, "Europe/Berlin")
NOON = Quiet(12 * 60, 13 * 60 + 30, "Europe/Berlin")


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def change(severity="warning", what="raised", told=True):
    alert = AlertRow(
        id="a", name="n", subject="s", severity=severity, since=0, until=None, value=None, threshold=None, message=""
    )
    return Change(what=what, alert=alert, told=told)


@pytest.mark.parametrize(
    ("quiet", "now", "loud"),
    [
        (NIGHT, "2026-05-05T21:59:59", "2026-05-05T21:59:59"),
        (NIGHT, "2026-05-05T22:00:00", "2026-05-06T07:00:00"),
        (NIGHT, "2026-05-06T06:59:00", "2026-05-06T07:00:00"),
        (NIGHT, "2026-05-06T07:00:00", "2026-05-06T07:00:00"),
        (NIGHT, "2026-12-31T23:00:00", "2027-01-01T07:00:00"),
        # The clocks change in this night: it is an hour shorter, or longer.
        (NIGHT, "2026-03-28T22:00:00", "2026-03-29T07:00:00"),
        (NIGHT, "2026-10-24T22:00:00", "2026-10-25T07:00:00"),
        (NOON, "2026-05-05T13:00:00", "2026-05-05T13:30:00"),
        (NOON, "2026-05-05T13:30:00", "2026-05-05T13:30:00"),
        (NOON, "2026-05-05T23:00:00", "2026-05-05T23:00:00"),
        (None, "2026-05-05T23:00:00", "2026-05-05T23:00:00"),
    ],
)
def test_quiet_time(quiet, now, loud):
    """In a quiet time people are told at its end, by the wall clock of its zone."""
    assert loud_again(quiet, at(now)) == at(loud)


@given(st.integers(0, 1439), st.integers(0, 1439), st.floats(1.7e9, 1.9e9), st.sampled_from(["Europe/Berlin", "UTC"]))
def test_any_quiet_time(start, end, now, zone):
    """Whenever it is, nothing is told in the past, or after more than a day and the hour of a clock change."""
    quiet = Quiet(start, (end + 1) % 1440 if end == start else end, zone)

    loud = loud_again(quiet, now)
    assert now <= loud <= now + 25 * 3600
    assert loud_again(quiet, loud) - loud <= 3600


def test_who_is_told():
    """Everybody is told what is severe enough for them, all of it as an event; what is silent only as an event."""
    sinks = [("all", "info"), ("some", "warning"), ("few", "critical")]

    told = [[n.sink for n in notices_of([change(each)], sinks, None, 5.0)] for each in ("info", "warning", "critical")]
    assert told == [["event", "all"], ["event", "all", "some"], ["event", "all", "some", "few"]]
    assert [n.sink for n in notices_of([change(told=False)], sinks, None, 5.0)] == ["event"]
    assert list(notices_of([change(what="changed", told=False)], sinks, None, 5.0)) == []
    assert [n.sink for n in notices_of([change(what="still")], sinks, None, 5.0)] == ["all", "some"]


def test_what_is_critical_passes():
    """In a quiet time what is critical is told at once, and events are; the rest waits for its end."""
    now = at("2026-05-05T23:00:00")
    sinks = [("mail", "info")]

    assert {(n.sink, n.due) for n in notices_of([change()], sinks, NIGHT, now)} == {
        ("event", now),
        ("mail", at("2026-05-06T07:00:00")),
    }
    assert {n.due for n in notices_of([change("critical")], sinks, NIGHT, now)} == {now}


def test_giving_up():
    """A notice is given up after so many attempts, or so long after it was due."""
    fresh = Notice(id="n", alert_id="a", sink="s", what="raised", at=0, due=1000, alert=change().alert)

    assert not give_up(fresh, 1000 + TRIED_S)
    assert give_up(fresh, 1001 + TRIED_S)
    assert [give_up(Notice(**{**fresh_fields(fresh), "attempts": n}), 1000) for n in (TRIES - 2, TRIES - 1)] == [
        False,
        True,
    ]


def fresh_fields(notice):
    return {name: getattr(notice, name) for name in notice.__struct_fields__}
