"""When the broker's silence about what was published means that the connection is gone."""

import pytest

from optimizer_client.confirms import LONGEST_S, SHORTEST_S, SLOWEST_BYTES_PER_S, Confirms


def test_nothing_unconfirmed_never_stalls():
    """Without anything to be confirmed there is nothing to wait for."""
    confirms = Confirms()
    assert confirms.stalls_at() is None

    confirms.published(1, "a", 0, 60, 0.0)
    confirms.told(1, 1.0)

    assert confirms.stalls_at() is None


@pytest.mark.parametrize(("left_s", "patience_s"), [(0.1, SHORTEST_S), (20, 5.0), (600, LONGEST_S)])
def test_patience_is_a_quarter_of_the_time_left(left_s, patience_s):
    """A confirm may take a quarter of the time that the request has, within bounds."""
    confirms = Confirms()

    confirms.published(1, "a", 0, left_s, 100.0)

    assert confirms.stalls_at() == 100.0 + patience_s


def test_the_most_urgent_counts():
    """A request with little time behind one with much of it has its own patience, from when it was published."""
    confirms = Confirms()
    confirms.published(1, "a", 0, 600, 0.0)

    confirms.published(2, "b", 0, 8, 5.0)

    assert confirms.stalls_at() == 5.0 + SHORTEST_S


def test_large_messages_may_take_longer():
    """What is on its way delays the confirm of everything behind it, and no longer once it was confirmed."""
    confirms = Confirms()
    confirms.published(1, "large", 100 * SLOWEST_BYTES_PER_S, 600, 0.0)
    confirms.published(2, "small", 0, 8, 0.0)
    assert confirms.stalls_at() == 100 + SHORTEST_S

    confirms.told(1, 60.0)

    assert confirms.stalls_at() == 60 + SHORTEST_S


def test_every_word_begins_the_time_anew():
    """A broker that confirms, however slowly, keeps its connection; so does one whose alarm has ended."""
    confirms = Confirms()
    for tag in range(1, 11):
        confirms.published(tag, str(tag), 0, 600, 0.0)

    for tag in range(1, 10):
        confirms.told(tag, tag * 9.0)
        assert confirms.stalls_at() == tag * 9.0 + LONGEST_S
    confirms.begin_anew(500.0)
    assert confirms.stalls_at() == 500.0 + LONGEST_S


def test_one_word_may_mean_many():
    """A confirm of all up to a tag takes them in their order; one of a tag that is not there takes nothing."""
    confirms = Confirms()
    for tag in (1, 2, 3, 4):
        confirms.published(tag, f"r{tag}", 10, 60, 0.0)

    assert confirms.told(2, 0.0) == ["r2"]
    assert confirms.told(3, 0.0, multiple=True) == ["r1", "r3"]
    assert confirms.told(3, 0.0) == []
    assert confirms.take_all() == ["r4"]
    assert confirms.stalls_at() is None
