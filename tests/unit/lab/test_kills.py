"""Random faults come from a seed."""

from tests.lab.history import History
from tests.lab.kills import Kills
from tests.support.seeds import SEED_VARIABLE


def test_seed_that_was_asked_for(monkeypatch):
    """With OPTIMIZER_TEST_SEED the same decisions are made again; without it each run has others."""
    monkeypatch.setenv(SEED_VARIABLE, "17")
    one, other = Kills(History()), Kills(History())
    assert one.history.seed == other.history.seed == 17
    assert [one.dice.random() for _ in range(5)] == [other.dice.random() for _ in range(5)]
    monkeypatch.delenv(SEED_VARIABLE)
    assert len({Kills(History()).history.seed for _ in range(5)}) > 1
