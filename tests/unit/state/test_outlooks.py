"""How soon a backend can take a call, with what this process has just sent there."""

import pytest

from optimizer_state.outlook import Outlook, together
from optimizer_state.outlooks import NEVER_MS, Loads

NOW = 100_000


def loads(outlook=None, *sent_ms):
    """What is known of backend b at NOW, after calls were sent there."""
    made = Loads()
    for at_ms in sent_ms:
        made.add("b", at_ms)
    made.learn({} if outlook is None else {"b": outlook}, NOW)
    return made


@pytest.mark.parametrize(
    ("outlook", "ready_ms"),
    [
        (None, NOW),
        (Outlook(NOW + 7_000, 10, "rpm", NOW - 5_000), NOW + 7_000),
        (Outlook(NOW + 7_000, 10, "rpm", NOW - 5_001), NOW),
        (Outlook(NOW - 900, 10, "", NOW), NOW),
        (Outlook(NOW, 10, "paused", NOW), NEVER_MS),
        (Outlook(NOW, 10, "draining", NOW), NEVER_MS),
        (Outlook(NOW, 10, "draining", NOW - 6_000), NOW),
    ],
)
def test_ready(outlook, ready_ms):
    """As told, never in the past; unknown or too old means now, taken out by an operator means never."""
    assert loads(outlook).ready_ms("b", NOW) == ready_ms


def test_what_was_sent_counts():
    """Each call that was sent since the outlook was told makes the next one later; other backends are not concerned."""
    known = loads(Outlook(NOW + 500, 300, "rpm", NOW))
    known.add("b", NOW)
    known.add("b", NOW + 1, 2)

    assert known.ready_ms("b", NOW) == NOW + 1_400
    assert known.ready_ms("other", NOW) == NOW


def test_a_newer_outlook_has_it_in():
    """What was sent clearly before an outlook was told is part of it; what was on its way or sent later is not."""
    known = loads(Outlook(NOW, 300, "rpm", NOW - 500), NOW - 700, NOW - 600, NOW - 599, NOW - 10)
    assert known.ready_ms("b", NOW) == NOW + 600

    known.learn({"b": Outlook(NOW, 300, "rpm", NOW + 400)}, NOW + 450)
    assert known.ready_ms("b", NOW + 450) == NOW + 450
    assert not known._sent_ms


def test_memory_is_bounded():
    """Calls to backends of which nothing is heard are forgotten after a while."""
    assert not loads(None, NOW - 6_000, NOW - 5_000)._sent_ms


def test_what_is_heard_on_another_way():
    """An outlook that came sooner by another way holds until a later one is told, and an older one is not taken."""
    loads = Loads()
    loads.learn({"a": Outlook(0, told_ms=1_000)}, 1_000)
    loads.hear("a", 9_000, 1_200)
    loads.learn({"a": Outlook(0, told_ms=1_100)}, 1_300)
    assert loads.ready_ms("a", 1_300) == 9_000

    loads.hear("a", 20_000, 900)
    assert loads.ready_ms("a", 1_300) == 9_000
    loads.learn({"a": Outlook(5_000, told_ms=2_000)}, 2_100)
    assert loads.ready_ms("a", 2_100) == 5_000


def test_workers_of_a_backend_together():
    """What a call has to expect of a backend is the mean of its workers, who take calls in turn; shut it is for all."""
    one = Outlook(9_000, 100, "rpm", told_ms=1_000, shut_ms=3_000)
    other = Outlook(0, 50, "", told_ms=1_100)
    silent = Outlook(99_000, told_ms=-60_000)

    both = together([one, other, silent], 1_000)

    assert (both.ready_ms, both.shut_ms, both.told_ms, both.reason) == (6_000, 3_000, 1_100, "rpm")
    assert together([other], 1_000).ready_ms == 0
    assert together([silent], 1_000) == silent


def test_deadlines_go_before_later_ones():
    """A call starts where the first one in line starts that has a later deadline, and at the end if there is none."""
    loads = Loads()
    line = ((10_000, 2_000), (20_000, 5_000))
    loads.learn({"a": Outlook(9_000, 100, "rpm", told_ms=1_000, line=line)}, 1_000)
    assert [loads.in_line_ms("a", deadline, 1_000) for deadline in (5_000, 15_000, 20_000)] == [2_000, 5_000, 9_000]

    loads.add("a", 1_100, 3)
    assert loads.in_line_ms("a", 5_000, 1_200) == 2_300
