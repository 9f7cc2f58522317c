"""Outages: when a whole route is out, and when it is back."""

import pytest

from optimizer_coordinator.outages import FIRST_MS, PARKED_MS, Outages
from optimizer_coordinator.routing import Shut

ROUTES = {"default": ("a", "b"), "code": ("b", "a"), "long": ("c",)}
NOW = 1_000_000


@pytest.fixture
def outages():
    """Everything was up when last looked at."""
    found = Outages(ROUTES)
    assert found.look(frozenset("abc"), {}, NOW) == ([], [])
    return found


def breaker(for_ms=9_000):
    return Shut(NOW + for_ms, "breaker")


def test_without_workers(outages):
    """A route whose last worker is gone is out; routes of the same backends are told together."""
    assert outages.look(frozenset("ac"), {}, NOW) == ([], [])
    (outage,), _ = outages.look(frozenset("c"), {}, NOW)

    assert outage.backends == ("a", "b")
    assert outage.routes == ("default", "code")
    assert outage.message == "Nothing serves the routes default, code: a has no worker, b has no worker."
    assert outage.back_ms is None


def test_told_once(outages):
    """A route that stays out is not told again; one that was back and goes out again is."""
    assert len(outages.look(frozenset("ab"), {}, NOW)[0]) == 1
    assert outages.look(frozenset("ab"), {}, NOW) == ([], [])
    assert outages.down == {("c",)}
    assert outages.look(frozenset("abc"), {}, NOW) == ([], [("c",)])
    assert outages.down == frozenset()
    assert len(outages.look(frozenset("ab"), {}, NOW)[0]) == 1


def test_open_breakers(outages):
    """Open breakers and missing workers together put a route out; it says when the first may be back."""
    (outage,), _ = outages.look(frozenset("bc"), {"b": breaker()}, NOW)

    assert outage.reason == "a has no worker, b failed too often and is left alone for 9 s"
    assert outage.back_ms == NOW + 9_000


@pytest.mark.parametrize(("for_ms", "out"), [(PARKED_MS, True), (PARKED_MS - 1, False)])
def test_parked(outages, for_ms, out):
    """A backend that is blocked for long is parked; a short block only means that it asked to be spared."""
    assert bool(outages.look(frozenset("abc"), {"c": Shut(NOW + for_ms, "blocked")}, NOW)[0]) == out


def test_parked_to_the_end(outages):
    """A parked backend is not back because little is left of the time; only when the block is over."""
    stopped = {"c": Shut(NOW + PARKED_MS, "blocked")}
    outages.look(frozenset("abc"), stopped, NOW)

    assert outages.look(frozenset("abc"), stopped, NOW + PARKED_MS - 1) == ([], [])
    assert outages.look(frozenset("abc"), {}, NOW + PARKED_MS) == ([], [("c",)])


@pytest.mark.parametrize("reason", ["rpm", "concurrency", "paused", ""])
def test_waiting_is_no_outage(outages, reason):
    """A backend whose budget is used up, that is busy or that an operator paused is not out."""
    assert outages.look(frozenset("abc"), {"c": Shut(NOW + 3_600_000, reason)}, NOW) == ([], [])


def test_at_the_start():
    """A fleet that starts gets some seconds until its workers are there."""
    outages = Outages({"long": ("c",)})

    assert outages.look(frozenset(), {}, NOW) == ([], [])
    assert outages.look(frozenset(), {}, NOW + FIRST_MS - 1) == ([], [])
    assert len(outages.look(frozenset(), {}, NOW + FIRST_MS)[0]) == 1
