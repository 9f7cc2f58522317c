"""The ideal that deployments are held against, on cases that can be counted by hand."""

import pytest
from tests.support.ideal import answerable


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ([], 0),
        ([(0.0, 30.0)] * 5, 5),
        ([(0.0, 9.0)] * 5, 2),
        ([(0.0, 10.4)] * 5, 2),
        ([(0.0, 10.5)] * 5, 4),
        ([(0.0, 30.0)] * 3 + [(1.0, 10.5)] * 2, 5),
        ([(0.0, 30.0)] * 3 + [(1.0, 10.4)] * 2, 3),
        ([(0.0, 30.0), (0.0, 30.0), (5.0, 16.0), (5.0, 40.0), (5.0, 15.0)], 5),
        ([(100.0, 100.4), (100.0, 100.6)], 1),
    ],
)
def test_answerable(asked, answered):
    """One backend, two calls of half a second in any ten: counted by hand."""
    assert answerable(asked, 2, 10.0, 1, 0.5) == answered


def test_backends_add_up():
    """Three equal backends answer three times as many."""
    assert answerable([(0.0, 15.0)] * 100, 2, 10.0, 3, 0.5) == 12
