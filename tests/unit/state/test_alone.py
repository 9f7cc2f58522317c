"""What a worker decides by while Redis is away."""

import pytest
from tests.support.budgets import RPM, ask, backend

from optimizer_state.alone import Alone
from optimizer_state.fleet_view import FleetView, Look

NOW = 1_000_000


def look(*, open_until_ms=None, **view):
    return Look(True, FleetView(seen_ms=NOW, **view), {}, {}, (), open_until_ms)


@pytest.mark.parametrize(
    ("view", "word"), [({"mode": "paused"}, "paused"), ({"blocked_until_ms": NOW + 700}, "blocked")]
)
def test_what_was_seen_outlives_the_connection(view, word):
    """A pause and a block that were seen hold while Redis is away."""
    alone = Alone(backend())
    alone.learn(look(concurrency=9, **view))

    assert alone.wait(ask("a"), 0, 1, NOW).limit == word


def test_an_open_breaker_outlives_the_connection():
    """A breaker that was open when last seen stays open for its time."""
    alone = Alone(backend())
    alone.learn(look(concurrency=9, open_until_ms=NOW + 500))

    assert alone.wait(ask("a"), 0, 1, NOW).ms == 500
    assert alone.wait(ask("a"), 0, 1, NOW + 500) is None


def test_blocks_only_extend():
    """A shorter block does not end a longer one, and its reason stays."""
    alone = Alone(backend())
    alone.block(NOW + 900, "day")
    alone.block(NOW + 100, "minute")

    assert (alone.blocked_until_ms, alone.blocked_reason) == (NOW + 900, "day")
    assert alone.wait(ask("a"), 0, 1, NOW).ms == 900


def test_concurrency_is_divided():
    """Each worker makes its part of the calls at once, and at least one."""
    alone = Alone(backend(concurrency=9))
    alone.learn(look(concurrency=6))

    assert alone.wait(ask("a"), 1, 3, NOW) is None
    assert alone.wait(ask("a"), 2, 3, NOW).limit == "concurrency"
    assert alone.wait(ask("a"), 0, 50, NOW) is None


def test_places_of_others_at_the_last_look():
    """What others had in flight when Redis was last seen leaves a worker the rest, until those must have ended."""
    alone = Alone(backend(concurrency=6))
    alone.learn(look(concurrency=6, calls=6), 1)

    assert alone.wait(ask("a"), 1, 2, NOW + 9_999).limit == "concurrency"
    assert alone.wait(ask("a"), 0, 2, NOW) is None
    assert alone.wait(ask("a"), 1, 2, NOW + 10_000) is None


def test_before_anything_was_seen():
    """A worker that never saw Redis reckons with the most workers that are configured."""
    alone = Alone(backend(RPM, concurrency=8, max_workers=4))

    assert alone.wait(ask("a"), 1, 1, NOW) is None
    assert alone.wait(ask("a"), 2, 1, NOW).limit == "concurrency"
    alone.share.hold("a", {"rpm": 1}, NOW)
    assert alone.wait(ask("b"), 1, 1, NOW).limit == "own share"


def test_what_others_have_not_told_yet():
    """A look that may lack what others used stops calls as it says, and leaves the share what it was."""
    alone = Alone(backend(RPM))
    alone.learn(look())
    alone.share.hold("a", {"rpm": 1}, NOW + 100)
    alone.share.settle("a", NOW + 100, NOW + 100, None)
    alone.share.hold("b", {"rpm": 1}, NOW + 100)
    later = Look(True, FleetView(seen_ms=NOW + 500, concurrency=9, blocked_until_ms=NOW + 700), {}, {}, (), None)
    alone.learn(later, complete=False)

    assert alone.wait(ask("c"), 0, 2, NOW + 600).limit == "blocked"
    assert alone.wait_for_share(ask("c"), 0, 2, NOW + 600).limit == "own share"
    alone.learn(later)
    assert alone.wait_for_share(ask("c"), 0, 2, NOW + 600) is None


def test_a_worker_that_started_in_an_outage():
    """Until Redis has been seen with what all used, a worker reckons with the most workers, for concurrency too."""
    alone = Alone(backend(concurrency=8, max_workers=4))
    alone.learn(look(concurrency=8), complete=False)

    assert alone.wait_for_share(ask("a"), 2, 1, NOW).limit == "concurrency"
    alone.learn(look(concurrency=8))
    assert alone.wait_for_share(ask("a"), 2, 1, NOW) is None
