"""Rates from events."""

import pytest

from optimizer_ops.top.tally import Tally
from optimizer_wire.events import event


class Clock:
    """A clock that stands until it is moved."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """The clock of a test."""
    return Clock()


def told(kind, **fields):
    """An event of this kind."""
    return event(f"optimizer.{kind}", "coordinator/test", **fields)


def test_rates_are_of_the_last_ten_seconds(clock):
    """Events count for ten seconds, by agent and by backend, and then no more."""
    tally = Tally(clock)
    clock.now += 20
    for kind in ("cache.hit", "cache.miss", "request.collapsed"):
        tally.add(told(kind, agent="a"))
    tally.add(told("call.started", agent="a", backend="groq"))
    tally.add(told("call.failed", agent="b", backend="groq"))

    assert tally.all().requests == pytest.approx(0.3)
    assert tally.by_agent()["a"].hits == pytest.approx(0.1)
    assert tally.by_backend()["groq"].failed == pytest.approx(0.1)
    clock.now += 10.1
    assert tally.all().requests == 0
    assert tally.by_agent() == {}


def test_who_has_just_begun_divides_by_less(clock):
    """What has listened for two seconds has seen the events of two seconds."""
    tally = Tally(clock)
    clock.now += 2
    for _ in range(4):
        tally.add(told("cache.miss", agent="a"))

    assert tally.all().requests == pytest.approx(2.0)


def test_a_hit_of_a_worker_is_no_second_request(clock):
    """A request that missed and whose worker then found the answer is one request."""
    tally = Tally(clock)
    tally.add(told("cache.miss", agent="a", work_id="w"))
    tally.add(told("cache.hit", agent="a", work_id="w"))

    assert tally.all().requests == 1


def test_the_busiest_agent_comes_first(clock):
    """Agents are in the order of their requests."""
    tally = Tally(clock)
    for agent in ("quiet", "busy", "busy"):
        tally.add(told("cache.miss", agent=agent))

    assert list(tally.by_agent()) == ["busy", "quiet"]
