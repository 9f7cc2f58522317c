"""Where the history is kept and for how long, as people write it: `[history]` and `OPTIMIZER_HISTORY_URL`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer_config.backends import relative_to
from optimizer_config.credentials import credential, read_secret_file
from optimizer_config.errors import ConfigError
from optimizer_config.reader import Table
from optimizer_wire.urls import masked_url

SYSTEM_FOLDER = Path("/var/lib/optimizer")
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgresql+psycopg://", "postgres://")
_VARIABLE = "OPTIMIZER_HISTORY_URL"
_LONGEST_DAYS = 36_525


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where processes keep files: `$STATE_DIRECTORY`; for whoever may read it, the folder that the units of systemd
    use on this machine; `$XDG_STATE_HOME/optimizer` or `~/.local/state/optimizer`.

    The XDG Base Directory Specification wants a relative path ignored.
    """
    environ = os.environ if environ is None else environ
    # systemd writes all of `StateDirectory=` here, with colons between them.
    if given := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(given)
    if os.access(SYSTEM_FOLDER, os.R_OK | os.X_OK):
        return SYSTEM_FOLDER
    folder = environ.get("XDG_STATE_HOME", "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(folder) if Path(folder).is_absolute() else home / ".local/state") / "optimizer"


def default_history_url(environ: Mapping[str, str] | None = None) -> str:
    """The URL of a SQLite file in the state folder."""
    return f"{_SQLITE}{state_folder(environ) / 'history.db'}"


def read_history(root: Table) -> dict[str, Any]:
    """The fields of the configuration that `[history]` gives.

    :raises ConfigError: naming the place.
    """
    table = root.table("history")
    url, file = table.text("url"), table.text("url_file")
    if url and file:
        table.fail("url", "and url_file are both written; keep one of them.")
    if file:
        url = read_secret_file(relative_to(root.file, file), f"{root.file}: history.url_file")
    given = {
        "history_url": checked_history_url(url, f"{root.file}: history.url", Path(root.file).parent),
        "keep_days": _days(table, "keep_days"),
        "keep_hourly_days": _days(table, "keep_hourly_days"),
    }
    table.finish()
    return given


def history_from_environment(environ: Mapping[str, str]) -> str | None:
    """The URL that the environment, the file it names or a systemd credential gives; None if none does.

    :raises ConfigError: naming the place.
    """
    url, file = environ.get(_VARIABLE), environ.get(f"{_VARIABLE}_FILE")
    if url and file:
        raise ConfigError(f"{_VARIABLE} and {_VARIABLE}_FILE are both set; keep one of them.")
    found = read_secret_file(file, f"{_VARIABLE}_FILE") if file else url or credential("history_url", environ)
    return checked_history_url(found, _VARIABLE, Path.cwd())


def checked_history_url(url: str | None, place: str, folder: Path) -> str | None:
    """The URL in the form that SQLAlchemy takes, a file of a relative path in this folder.

    :raises ConfigError: naming the place, with the password masked.
    """
    if not url:
        return None
    if url.startswith(_SQLITE) and (path := url.removeprefix(_SQLITE).partition("?")[0]):
        return f"{_SQLITE}{(folder / Path(path).expanduser()).absolute()}"
    for scheme in _POSTGRES:
        if url.startswith(scheme) and masked_url(url) != "(not a URL)":
            return f"postgresql+psycopg://{url.removeprefix(scheme)}"
    raise ConfigError(
        f'{place} must be sqlite:///<file> or postgresql://<user>@<host>/<database>, got "{masked_url(url)}".'
    )


def _days(table: Table, key: str) -> int | None:
    days = table.whole(key)
    if days is not None and days > _LONGEST_DAYS:
        table.fail(key, f"must be at most {_LONGEST_DAYS} days (100 years), got {days}.")
    return days
