"""What the documents show works: every snippet is run or checked."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support.stack import Stack
from typer.main import get_command

from optimizer_config.load import load
from optimizer_ops.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of every code block in a language."""
    return [(page.name, text) for page in PAGES for kind, text in BLOCK.findall(page.read_text()) if kind == language]


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_runs(stack: Stack, page: str, text: str):
    """A Python snippet runs as it stands against a running optimizer and prints an answer."""
    stack.simulate("alpha")
    stack.start()
    done = subprocess.run(
        [sys.executable, "-c", text], env=stack.environment(), capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, f"{page}: {done.stderr}"
    assert "echo:" in done.stdout


@pytest.mark.parametrize(("page", "text"), blocks("toml"))
def test_toml_is_a_valid_configuration(tmp_path: Path, page: str, text: str):
    """A TOML snippet is a configuration that loads without a complaint."""
    file = tmp_path / "optimizer.toml"
    file.write_text(text)

    config = load(str(file), {})

    assert tomllib.loads(text), page
    assert not config.warnings


# What has a command line of its own: asked by running it.
OWN = {"simulate", "services"}


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line of every shell block, and every `optimizer …` or `make …` in backquotes."""
    lines = [(page, line) for page, text in blocks("sh") for line in text.splitlines()]
    inline = [
        (page.name, code)
        for page in PAGES
        for code in re.findall(r"`((?:optimizer|make) [a-z][^`]*)`", page.read_text())
    ]
    bare = [(page, re.sub(r"\s+#.*$", "", line).strip()) for page, line in lines + inline]
    return sorted({(page, line) for page, line in bare if re.match(r"(\.venv/bin/)?(optimizer|make) ", line)})


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_exist(page: str, line: str):
    """Every command that a document names exists, with the options that it shows."""
    for part in line.split("&&"):
        words = re.sub(r"…|'|\"", "", part).split()
        if words[0] == "make":
            done = run(["make", "-n", words[1]])
        elif words[1] in OWN:
            done = run([sys.executable, "-m", "optimizer_ops", words[1], "--help"])
        else:
            command, known = get_command(app), {"--help", "-h", "--version"}
            while (verbs := getattr(command, "commands", None)) and len(words) > 1 and not words[1].startswith("-"):
                assert words[1] in verbs, f"{page}: {line}: no such command"
                command = verbs[words.pop(1)]
            known |= {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            given = {word.partition("=")[0] for word in words[1:] if word.startswith("-") and word != "-"}
            assert not given - known, f"{page}: {line}: no such option"
            continue
        assert done.returncode == 0, f"{page}: {line}: {done.stderr}"


def run(words: list[str]) -> subprocess.CompletedProcess:
    """Run a command in the project's folder."""
    environment = {**os.environ, "COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def anchors(page: Path) -> set[str]:
    """The places of a page that a link can name: headings, in the spelling of GitHub, and anchors of its own."""
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)"', text))


def test_links_lead_somewhere():
    """Every relative link in the documents leads to a file, and to a place in it."""
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^):]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{page.name}: {target}")

    assert not broken
