"""The configuration of Grafana Alloy hangs together, and takes from a line what our logs have."""

import re
from pathlib import Path

import pytest

from optimizer_service.logs import configure_logs, logger

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "ops/alloy/config.alloy", ROOT / "compose/containers.alloy"]


def without_comments(path: Path) -> str:
    return re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_components_are_there(path):
    """Every component that another one names is declared, and brackets and braces are closed."""
    text = without_comments(path)
    declared = {f"{kind}.{name}" for kind, name in re.findall(r'^([a-z.]+) "(\w+)" \{$', text, re.MULTILINE)}
    named = set(re.findall(r"\b((?:loki|discovery)\.\w+(?:\.\w+)?\.optimizer|loki\.write\.\w+)\.\w+", text))

    assert declared
    assert named <= declared
    assert all(text.count(opening) == text.count(closing) for opening, closing in ("{}", "[]", "()"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_fields_are_those_of_our_logs(path, capsys):
    """What is taken out of a line is in every line that our processes write."""
    configure_logs(as_json=True)
    logger("worker").info("ready")
    line = capsys.readouterr().err
    (expressions,) = re.findall(r"expressions = \{ (.+) \}", without_comments(path))

    for field, source in re.findall(r'(\w+) = "(\w*)"', expressions):
        assert f'"{source or field}": ' in line


def test_units_are_found():
    """The names of our units are those that are kept."""
    (pattern,) = re.findall(r'regex\s+= "(optimizer.+)"', (ROOT / "ops/alloy/config.alloy").read_text())
    units = [path.name for path in (ROOT / "ops/optimizer_ops/systemd/units").glob("*.service")]

    assert units
    for unit in units:
        assert re.fullmatch(pattern.replace("\\\\", "\\"), unit.replace("@.", "@groq."))
