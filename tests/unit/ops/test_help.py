"""Help as it stands on the screen."""

import re

import pytest
import typer
from typer.testing import CliRunner

from optimizer_ops.cli import app


def commands(command, *names):
    """All commands, and how they are called."""
    yield names, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *names, name)


def plain(text: str) -> str:
    """Without frames and line breaks, and without the mark that keeps a bracket from being taken for a style."""
    return re.sub(r"[│\s]+", " ", text.replace("\\[", "["))


ALL = {" ".join(names): command for names, command in commands(typer.main.get_command(app)) if command.add_help_option}


@pytest.mark.parametrize("names", ALL)
def test_nothing_is_swallowed(names):
    """Every word of a command's description and of its options' is shown: brackets are no styles."""
    command = ALL[names]
    options = [option.help or "" for option in command.params if not getattr(option, "hidden", False)]
    shown = plain(CliRunner().invoke(app, [*names.split(), "--help"], env={"COLUMNS": "200"}).stdout)

    for text in (command.help or "", *options):
        assert plain(text).strip() in shown
