"""The recorder is nicer than the processes that agents wait for, and no nicer than it was asked to be."""

import os

import pytest

from optimizer_ops.recorder.process import NICE, give_way


@pytest.mark.parametrize(("began", "added"), [(0, NICE), (NICE, 0), (19, 0), (-5, NICE + 5)])
def test_a_recorder_gives_way(monkeypatch, began, added):
    """A recorder adds to its niceness what is missing; one that was started nicer stays as it is."""
    asked = []
    monkeypatch.setattr(os, "nice", lambda more: asked.append(more) or began + more)

    give_way()

    assert sum(asked) == added
