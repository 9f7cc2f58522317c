"""Prometheus' own checker, from the PATH or as `make programs` has fetched it."""

import shutil
import subprocess
from pathlib import Path

from tests.support.services import missing

FETCHED = Path(__file__).parents[2] / ".run/promtool/promtool"


def promtool(*words: str, folder: Path, said: str = "") -> str:
    """What promtool says in this folder to this input; fails with it if it finds a fault.

    Skips the test where there is no promtool.
    """
    program = shutil.which("promtool") or (str(FETCHED) if FETCHED.exists() else None)
    if program is None:
        missing("promtool", "PATH")
    done = subprocess.run(
        [program, *words], cwd=folder, input=said, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
