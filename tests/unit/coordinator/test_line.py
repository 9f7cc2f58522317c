"""Lines at the gate: who asks when, in which order."""

import asyncio
from types import SimpleNamespace

import pytest

from optimizer_coordinator.line import ABREAST, LONGEST_MS, SHORTEST_MS, Held, Lines, Waiting


class Wall:
    """A barrier with a line for the first letter of each request, or none."""

    def __init__(self, *, lined=True):
        self.lined = lined

    def line(self, intake):
        """By the first letter."""
        return intake.waiter.id[0] if self.lined else None


WALL = Wall()


@pytest.fixture
async def lines():
    return Lines()


def waiting(name, *barriers, about=None):
    intake = SimpleNamespace(
        waiter=SimpleNamespace(id=name, reply_to="r"), admission=SimpleNamespace(fingerprint=about or name)
    )
    return Waiting(intake, 1, barriers or (WALL,), asyncio.get_running_loop().create_future())


def stand(lines, *names, barriers=()):
    found = [waiting(name, *barriers) for name in names]
    for one in found:
        lines.add(one)
    return found


def names(found):
    return [one.intake.waiter.id for one in found]


async def test_lines_take_turns(lines):
    """Those who came first in their lines ask first, then those behind them; nobody jumps a line."""
    stand(lines, "a1", "a2", "a3", "b1", "b2", "c1")

    assert names(lines.due(0)) == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_whoever_was_let_through_longest_ago_comes_first(lines):
    """A line from which somebody got through stands back behind the others."""
    a1, _, b1, _ = stand(lines, "a1", "a2", "b1", "b2")
    lines.advance(a1)
    assert names(lines.due(0)) == ["b1", "a2", "b2"]

    lines.advance(b1)
    assert names(lines.due(0)) == ["a2", "b2"]


async def test_a_line_that_must_wait_holds_nobody_else(lines):
    """One of a line is told to wait: all of it wait so long, others do not."""
    a1, *_ = stand(lines, "a1", "a2", "b1")
    lines.hold(a1, Held(300, "for a"), 1_000)

    assert names(lines.due(1_299)) == ["b1"]
    assert names(lines.due(1_300)) == ["a1", "b1", "a2"]


@pytest.mark.parametrize(("told", "waits"), [(1, SHORTEST_MS), (90_000, LONGEST_MS)])
async def test_looks_are_neither_too_many_nor_too_few(lines, told, waits):
    """However long one is told to wait, it asks again after 50 ms at the soonest, and every second."""
    (one,) = stand(lines, "a1")
    lines.hold(one, Held(told, "for a"), 0)

    assert names(lines.due(waits - 1)) == []
    assert names(lines.due(waits)) == ["a1"]


async def test_newcomers_wait_behind_one_that_waits(lines):
    """Who joins a line that must wait does not ask before it."""
    (one,) = stand(lines, "a1")
    lines.hold(one, Held(300, "for a"), 0)
    stand(lines, "a2")

    assert names(lines.due(200)) == []


async def test_not_all_of_a_line_ask_at_once(lines):
    """A long line asks with its first ones."""
    stand(lines, *(f"a{number}" for number in range(100)))

    assert names(lines.due(0)) == [f"a{number}" for number in range(ABREAST)]


async def test_one_of_each_flight_asks(lines):
    """Of those who wait for the same call one asks; when it goes away the next one does."""
    for name in ("a1", "a2"):
        lines.add(waiting(name, about="same"))
    stand(lines, "a3")
    first, *_ = lines

    assert names(lines.due(0)) == ["a1", "a3"]
    first.fail(RuntimeError("refused"))
    assert names(lines.due(0)) == ["a2", "a3"]


async def test_on_hold(lines):
    """Who was told to wait is on hold until it may ask again; who stands nowhere is not."""
    (one,) = stand(lines, "a1")
    assert not lines.on_hold(one, 0)

    lines.hold(one, Held(300, "for a"), 0)
    assert lines.on_hold(one, 299)
    assert not lines.on_hold(one, 300)
    lines.advance(one)
    assert not lines.on_hold(one, 0)


async def test_without_a_line_each_asks_for_itself(lines):
    """Where the barrier has no lines, one that waits holds nobody."""
    one, *_ = stand(lines, "a1", "a2", barriers=(Wall(lined=False),))
    lines.hold(one, Held(300, "for a"), 0)

    assert names(lines.due(100)) == ["a2"]


async def test_one_barrier_after_another(lines):
    """A request that passed stands before the next barrier, and is through after the last."""
    first, last = Wall(), Wall()
    (one,) = stand(lines, "a1", barriers=(first, last))

    assert not lines.advance(one)
    assert one.barrier is last
    assert names(lines.due(0)) == ["a1"]
    assert lines.advance(one)
    assert names(lines.due(0)) == []
    assert len(lines) == 1
    lines.remove(one)
    assert len(lines) == 0


async def test_decided_ones_do_not_ask(lines):
    """Who is refused, or let go, asks no more, even before it has left."""
    one, other = stand(lines, "a1", "a2")
    one.fail(RuntimeError("refused"))
    other.let_go("published")

    assert lines.due(0) == []
    assert isinstance(one.decision.exception(), RuntimeError)


async def test_the_same_request_is_known(lines):
    """A second copy of a request that waits is recognised, until it waits no more."""
    (one,) = stand(lines, "a1")
    assert lines.holds(waiting("a1").intake)
    assert not lines.holds(waiting("a2").intake)

    lines.remove(one)
    assert not lines.holds(waiting("a1").intake)


async def test_what_it_waits_for(lines):
    """The reason is the one that its line was told last."""
    one, behind = stand(lines, "a1", "a2")
    lines.hold(one, Held(300, "for its quota"), 0)

    assert lines.reason(behind) == "for its quota"
