"""Dead letters on a terminal."""

import pytest

from optimizer_ops.dead.letters import Kept
from optimizer_ops.dead.render import fitted
from optimizer_wire.dead_letters import DeadLetter


@pytest.mark.parametrize("width", [80, 100, 160])
def test_letters_fit_a_terminal(width):
    """No row is wider than the terminal, and each has the id that replay takes, and why it died."""
    letter = DeadLetter(
        id="8c1f0a2b3d4e",
        why="rejected",
        died_ms=1_700_000_000_000,
        queue="optimizer.requests",
        agent="newcomer",
        reason="No backend, alias or model is called 'nonsense'. Name an alias, a backend, or backend/model.",
    )
    heads, line = (each.plain for each in fitted([Kept(letter, 150)], 1_700_000_100.0, width))

    assert max(len(heads), len(line)) <= width
    assert line.startswith("8c1f0a2b3d4e")
    for words in ("rejected", "newcomer", "No backend, alias"):
        assert words in line
