"""The soak's judgement of growth, on made-up processes."""

import os

import pytest
from tests.soak.vitals import Life, Sample, Vitals, slope


def life(*rss_mib: float, descriptors: int = 0) -> Life:
    """A judged process with a sample a minute; `descriptors` more come each minute."""
    return Life("p", True, [Sample(60.0 * i, rss, 20 + descriptors * i, 3, 0.0) for i, rss in enumerate(rss_mib)])


def test_slope_of_a_line_with_an_outlier():
    """One outlier does not change the slope of a straight line."""
    points = [(float(x), 2.0 * x) for x in range(50)]
    points[20] = (20.0, 10_000.0)

    assert slope(points) == pytest.approx(2.0)


def test_flat_process_has_no_problem():
    """A process that warms up and then stays within noise is flat."""
    assert life(40, 60, 70, *([72, 73, 71] * 8)).problems() == []


def test_leak_is_told():
    """A megabyte a minute over half an hour is a leak, told with its rate."""
    (problem,) = life(*(60 + i for i in range(30))).problems()

    assert "60.0 MiB an hour" in problem


def test_leaked_descriptors_are_told():
    """Three descriptors a minute over half an hour is a leak."""
    (problem,) = life(*([70.0] * 30), descriptors=3).problems()

    assert "file descriptors" in problem


def test_too_short_a_life_is_not_called_flat():
    """A process with hardly any sample is not judged flat."""
    assert life(1.0, 2.0).problems() == ["p: too few samples to judge"]


def test_a_process_is_sampled():
    """A live process has memory, descriptors and time."""
    vitals = Vitals()
    vitals.watch("me", os.getpid(), judged=True)
    vitals.sample()

    (sample,) = vitals.lives()[0].samples
    assert sample.rss_mib > 1
    assert sample.descriptors > 0
