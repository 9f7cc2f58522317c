"""The record of what was started here."""

import stat
from pathlib import Path

import pytest

from optimizer_ops.services.processes import ServerProcess
from optimizer_ops.services.record import Record, Started, state_folder

ENTRY = Started("private", "redis://:secret@127.0.0.1:1/0", [ServerProcess(1, "then")])


def test_what_was_started_is_found_again(tmp_path):
    """Another process reads what one wrote, and forgets one service without the other."""
    Record(tmp_path).add("redis", ENTRY)
    Record(tmp_path).add("rabbitmq", Started("docker", "amqp://h/"))

    assert Record(tmp_path).read() == {"redis": ENTRY, "rabbitmq": Started("docker", "amqp://h/", [])}
    Record(tmp_path).remove("redis")
    assert list(Record(tmp_path).read()) == ["rabbitmq"]


def test_only_the_owner_may_read_the_record(tmp_path):
    """It holds passwords."""
    Record(tmp_path).add("redis", ENTRY)

    assert stat.S_IMODE((tmp_path / "started.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"redis": 1}', '{"redis": {"way": "private"}}'])
def test_a_record_that_cannot_be_read_is_an_empty_one(tmp_path, content):
    """A damaged file must not keep the services from starting."""
    if content is not None:
        (tmp_path / "started.json").write_text(content)

    assert Record(tmp_path).read() == {}


def test_a_checkout_keeps_its_services_to_itself():
    """Two checkouts on one machine do not stop each other's servers."""
    assert state_folder({}) == Path(__file__).parents[3] / ".run" / "services"


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"OPTIMIZER_SERVICES_DIR": "/a/b", "XDG_STATE_HOME": "/x"}, "/a/b"),
        ({"XDG_STATE_HOME": "/x"}, "/x/optimizer/services"),
        ({}, "~/.local/state/optimizer/services"),
    ],
)
def test_an_installed_package_uses_the_user_s_folder(monkeypatch, environ, folder):
    """The order is: said so, the XDG folder, its default."""
    monkeypatch.setattr("optimizer_ops.services.record._CHECKOUT", Path("/nowhere"))

    assert state_folder(environ) == Path(folder).expanduser()
