"""What a call waited for, from what others were refused."""

from optimizer_workers.shortages import MOST, Shortages


def test_longest_names_what_was_missing_for_most_of_the_wait() -> None:
    """Of two shortages during a wait the longer one is named; what came before the wait does not count."""
    shortages = Shortages()
    shortages.begin("m", "rpm 30", 1_000)
    shortages.begin("m", "breaker", 9_000)
    shortages.end("m", 12_000)
    assert shortages.longest("m", 1_000, 12_000) == "rpm 30"
    assert shortages.longest("m", 8_000, 12_000) == "breaker"


def test_a_wait_without_a_refusal_was_for_a_place() -> None:
    """Whoever stood in line while nothing was refused waited for a free place; without any wait there is no reason."""
    shortages = Shortages()
    assert shortages.longest("m", 0, 500) == "concurrency"
    assert shortages.longest("m", 500, 500) is None
    shortages.begin("m", "rpm 30", 500)
    shortages.end("m", 600)
    assert shortages.longest("m", 0, 2_000) == "concurrency"


def test_one_call_after_the_other_is_one_shortage() -> None:
    """A line that is refused anew after each call keeps one entry, however many calls pass, and forgets nothing."""
    shortages = Shortages()
    for start_ms in range(0, 4 * MOST * 2_000, 2_000):
        shortages.begin("m", "rpm 30", start_ms)
        shortages.end("m", start_ms + 1_990)
    assert shortages.longest("m", 0, 4 * MOST * 2_000) == "rpm 30"
    shortages.begin("m", "breaker", 4 * MOST * 2_000)
    assert shortages.longest("m", 0, 4 * MOST * 2_000 + 1) == "rpm 30"


def test_lanes_are_apart() -> None:
    """A shortage of one model is none of another."""
    shortages = Shortages()
    shortages.begin("m", "tpm 6,000", 0)
    assert shortages.longest("n", 0, 1_000) == "concurrency"
