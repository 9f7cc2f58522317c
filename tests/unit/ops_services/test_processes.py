"""Processes that outlive us are known again, and only they are ended."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer_ops.services.processes import ServerProcess, free_port, port_is_free, wait_until


@pytest.fixture
def start(tmp_path):
    """Start commands that are ended after the test."""
    started = []

    def run(*command):
        process = ServerProcess.start(command, dict(os.environ), tmp_path, tmp_path / "log")
        started.append(process)
        return process

    yield run
    for process in started:
        process.send(signal.SIGKILL)
        process.end(1.0)


def test_a_started_process_lives_until_it_is_ended(start):
    """Ending waits until it is gone."""
    process = start("sleep", "60")

    assert process.alive()
    process.end(5.0)
    assert not process.alive()


def test_what_ends_by_itself_is_not_alive(start, tmp_path):
    """A child that has ended is no zombie that looks alive, and its words are in the log."""
    process = start("sh", "-c", "echo last words; exit 3")

    assert wait_until(lambda: not process.alive(), 5.0)
    assert (tmp_path / "log").read_text() == "last words\n"


def test_a_number_that_was_given_out_again_is_left_alone(start):
    """The same number with another start is another process: it gets no signal."""
    process = start("sleep", "60")
    other = dataclasses.replace(process, started="yesterday")

    other.end(0.1)
    other.send(signal.SIGKILL)

    assert not other.alive()
    assert process.alive()


def test_a_process_that_does_not_listen_is_killed(start, tmp_path):
    """It has its time to end in order; then it has none."""
    process = start("sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
    assert wait_until(lambda: (tmp_path / "log").read_text() == "deaf\n", 5.0)

    process.end(0.2)

    assert not process.alive()


def test_a_frozen_process_can_be_ended(start):
    """A stopped process takes no signal but the two that everybody takes."""
    process = start("sleep", "60")
    process.send(signal.SIGSTOP)

    process.end(5.0)

    assert not process.alive()


def test_a_whole_group_is_ended(start, tmp_path):
    """What a start script left running in its group goes with it."""
    process = start("sh", "-c", "sleep 60 & echo $!; wait")
    assert wait_until(lambda: (tmp_path / "log").read_text().strip(), 5.0)
    child = int((tmp_path / "log").read_text())

    process.end(5.0)

    assert wait_until(lambda: not _runs(child), 5.0)


def test_a_process_is_known_to_others_by_its_record(start):
    """`stop` is another process than `up`: number and start are all it has."""
    process = start("sleep", "60")
    program = (
        "import json, sys; from optimizer_ops.services.processes import ServerProcess;"
        "print(ServerProcess(*json.loads(sys.argv[1])).alive())"
    )

    seen = subprocess.run(
        [sys.executable, "-c", program, f'[{process.pid}, "{process.started}"]'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert seen.stdout == "True\n"


def test_a_port_with_a_listener_is_not_free():
    """A server could not bind it."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert not port_is_free(server.getsockname()[1])


def test_free_ports_are_outside_the_range_of_outgoing_connections():
    """A client that retries on such a port would meet itself there."""
    assert {20_000 <= free_port() < 32_000 for _ in range(20)} == {True}


def test_waiting_ends_with_the_condition_or_the_patience():
    """The result says which."""
    answers = iter([False, True])

    assert wait_until(lambda: next(answers), 5.0)
    assert not wait_until(lambda: False, 0.01)


def _runs(pid):
    """Whether a process that is not our child runs."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
