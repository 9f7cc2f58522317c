"""What a worker tells of its line."""

from optimizer_workers.planner import LINE_POINTS, sampled


def test_a_short_line_is_told_whole():
    """A line of a few calls is told by deadline, and nobody in it starts before an earlier deadline does."""
    assert sampled([(30, 5), (10, 7), (20, 1)]) == ((10, 7), (20, 7), (30, 7))
    assert sampled([]) == ()


def test_of_a_long_line_some_are_told():
    """Of a long line some calls are told, evenly, the last deadline always."""
    told = sampled([(number, number) for number in range(1_000)])

    assert len(told) <= LINE_POINTS + 1
    assert told[-1] == (999, 999)
    assert told == tuple(sorted(told))
