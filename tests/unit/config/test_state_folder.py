"""Where processes keep files."""

from pathlib import Path

from optimizer_config import history
from optimizer_config.history import default_history_url, state_folder


def test_what_systemd_says_comes_first(tmp_path, monkeypatch):
    """A service keeps files in the first of the folders that systemd made for it."""
    monkeypatch.setattr(history, "SYSTEM_FOLDER", tmp_path)
    assert state_folder({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/home/x"}) == Path("/var/lib/a")


def test_a_person_finds_what_the_units_write(tmp_path, monkeypatch):
    """Where the units of systemd are installed, a command of a person who may read it looks into their folder."""
    monkeypatch.setattr(history, "SYSTEM_FOLDER", tmp_path)
    assert default_history_url({"HOME": "/home/x"}) == f"sqlite:///{tmp_path}/history.db"


def test_elsewhere_it_is_the_users_own(tmp_path, monkeypatch):
    """Without units it is the user's folder for state; a relative one in the environment is ignored."""
    monkeypatch.setattr(history, "SYSTEM_FOLDER", tmp_path / "none")
    assert state_folder({"HOME": "/home/x"}) == Path("/home/x/.local/state/optimizer")
    assert state_folder({"HOME": "/home/x", "XDG_STATE_HOME": "/data"}) == Path("/data/optimizer")
    assert state_folder({"HOME": "/home/x", "XDG_STATE_HOME": "data"}) == Path("/home/x/.local/state/optimizer")
