"""The help of the simulator tells everything that its options and lists take."""

import pytest

from optimizer_ops.simulator.command import _parser, main
from optimizer_ops.simulator.spec import FAULTS


@pytest.fixture
def help_text(capsys, monkeypatch):
    """What `--help` prints on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "150")
    with pytest.raises(SystemExit):
        main(["--help"])
    return capsys.readouterr().out


def test_every_option_says_what_it_is():
    """No option stands in the help without a word about it."""
    assert [action.dest for action in _parser()._actions if not action.help] == []


def test_every_failure_is_explained(help_text):
    """Each failure that a script may name stands in the help with its meaning."""
    explained = {line.split()[0] for line in help_text.splitlines() if line.startswith("  ") and len(line.split()) > 1}

    assert set(FAULTS) <= explained
