"""The processes that stay read plain command lines themselves, as their commands do."""

import subprocess
import sys

import pytest
import typer

from optimizer_ops import serving
from optimizer_ops.cli import app

COMMANDS = typer.main.get_command(app).commands
PROCESSES = ("coordinator", "worker", "recorder", "dashboard")


@pytest.fixture
def asked(monkeypatch):
    """What a plain command line comes to; None if it is not plain."""

    def ask(*words):
        given = {}
        if words[0] in PROCESSES:
            _, parser = serving._PROCESSES[words[0]]
            monkeypatch.setitem(serving._PROCESSES, words[0], (lambda **found: given.update(found) or 0, parser))
        run = serving.plain(words)
        return None if run is None else (run(), given)[1]

    return ask


@pytest.mark.parametrize("process", PROCESSES)
def test_same_options(asked, process):
    """A process takes the same options whoever reads them, with the same defaults."""
    command, backend = COMMANDS[process], ["groq:2"] if process == "worker" else []
    named = {param.name: param for param in command.params}
    host, port = (named.get(f"admin_{name}") or named[name] for name in ("host", "port"))

    expected = {"config": None, "host": host.default, "port": port.default} | ({"backend": "groq:2"} if backend else {})
    assert asked(process, *backend) == expected
    for param in command.params:
        for word in param.opts if param.param_type_name == "option" else ():
            assert "7" in map(str, (asked(process, *backend, word, "7") or {}).values())


@pytest.mark.parametrize(
    "line",
    ["worker", "coordinator --help", "recorder -h", "dashboard --port 65536", "coordinator --port 1", "status", "up"],
)
def test_not_plain(asked, line):
    """What is anything else than a plain command line of a process is left to the commands."""
    assert asked(*line.split()) is None


def test_lean():
    """A coordinator and a worker do not load what reads command lines, shows tables or keeps the history."""
    heavy = {"typer", "pydantic", "sqlalchemy", "starlette", "genai_prices"}
    code = f"""
import sys
import optimizer_coordinator.process, optimizer_workers.process
from optimizer_ops.serving import plain
assert plain(["coordinator"]) and plain(["worker", "groq"])
print(sorted({heavy} & sys.modules.keys()))"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.strip() == "[]"
