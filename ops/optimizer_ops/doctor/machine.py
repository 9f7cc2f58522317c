"""This machine: Python, open files, the state folder and its disk, the token of the admin port."""

import os
import platform
import resource
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from optimizer_config.credentials import admin_token
from optimizer_config.errors import ConfigError
from optimizer_config.history import state_folder
from optimizer_config.model import Config
from optimizer_ops.doctor.finding import Area, Finding

_SQLITE = "sqlite:///"
_OLDEST_PYTHON = (3, 11)
# A coordinator or worker has a few dozen; several hundred calls at once are as many sockets.
_LEAST_FILES = 4_096
_LITTLE_BYTES = 2 * 1024**3
_FULL_BYTES = 200 * 1024**2


def examine(config: Config) -> list[Finding]:
    """What is found on this machine."""
    area = Area("machine")
    _python(area)
    _files(area)
    _state(area, config)
    _token(area)
    return area.findings


def _python(area: Area) -> None:
    version = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        area.failed(f"Python {version} is too old.", "Use Python 3.11 or newer.")
    elif find_spec("uvloop") is None:
        area.warning(f"Python {version} without uvloop: everything works, slower.", "pip install uvloop")
    else:
        area.ok(f"Python {version} with uvloop.")


def _files(area: Area) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_FILES:
        area.warning(
            f"A process may open {soft:,} files (at most {hard:,}): few for many calls at once.",
            f"ulimit -n {max(_LEAST_FILES, min(hard, 65_536))}, or LimitNOFILE= in the units.",
        )
    else:
        area.ok(f"A process may open {soft:,} files.")


def _state(area: Area, config: Config) -> None:
    """The folder that the history is in; one that does not exist is made by the recorder."""
    if not config.history_url.startswith(_SQLITE):
        folder = state_folder()
    else:
        folder = Path(config.history_url.removeprefix(_SQLITE).partition("?")[0]).parent
    existing = next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        why = "cannot be written by this user" if existing.is_dir() else f"cannot be made: {existing} is a file"
        area.failed(
            f"The state folder {folder} {why}.",
            f"Let the user that runs the recorder own {existing}, or choose another: [history] url in optimizer.toml.",
        )
        return
    free = shutil.disk_usage(existing).free
    text = f"{free / 1024**3:.1f} GiB free for the state folder {folder}"
    if free < _FULL_BYTES:
        area.failed(f"Only {text}.", "Make room: the history stops when the disk is full.")
    elif free < _LITTLE_BYTES:
        area.warning(f"Only {text}.", "Make room, or keep less: [history] keep_days.")
    else:
        area.ok(f"{text}.")


def _token(area: Area) -> None:
    try:
        token = admin_token()
    except ConfigError as error:
        area.failed(str(error), "Processes do not start with it: correct it, or take it away.")
        return
    area.ok("The admin token is set." if token else "No admin token: admin ports are for this machine only.")
