"""Crash points: which there are, and when a process dies at one."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer_config.errors import ConfigError
from optimizer_service.crash_points import POINTS, VARIABLE, arm, crash_point

ROOT = Path(__file__).parents[3]

PROGRAM = """
import os, sys
from optimizer_service.crash_points import arm, crash_point
arm(os.environ)
for point in sys.argv[1:]:
    print(point, flush=True)
    crash_point(point)
"""


def ended(at: str, *points: str) -> tuple[int, list[str]]:
    """The exit code of a process that comes to these points, and those it came to."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *points],
        env={**os.environ, VARIABLE: at},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.returncode, done.stdout.split()


def test_dies_by_kill_at_its_point():
    """A process dies by SIGKILL at the point it was started with, and passes all others."""
    code, passed = ended("worker.after_store", "worker.after_call", "worker.after_store", "worker.after_reply")
    assert (code, passed) == (-signal.SIGKILL, ["worker.after_call", "worker.after_store"])


def test_the_nth_time():
    """With a number it dies when it comes there for the so many-th time."""
    code, passed = ended("worker.after_store:3", *["worker.after_store"] * 5)
    assert (code, len(passed)) == (-signal.SIGKILL, 3)


def test_inert_without_the_variable():
    """Without the variable, or with an empty one, every point is passed."""
    assert ended("", *POINTS) == (0, list(POINTS))


@pytest.mark.parametrize("text", ["worker.after_lunch", "worker.after_store:0", "worker.after_store:x", ":2"])
def test_unknown_point(text):
    """A point that does not exist, or a number that is none, is refused with a sentence that says what there is."""
    with pytest.raises(ConfigError, match=r"OPTIMIZER_CRASH_AT.*worker\.after_store"):
        arm({VARIABLE: text})
    crash_point("worker.after_store")


@pytest.mark.parametrize("point", POINTS)
def test_every_point_is_somewhere(point):
    """Every point of the list is passed somewhere in the product."""
    passed = re.compile(rf'crash_point\(\s*"{re.escape(point)}"\s*\)')
    assert any(passed.search(path.read_text()) for path in ROOT.glob("*/optimizer_*/*.py"))
