"""The database of the history: SQLite in a file, or PostgreSQL by its URL."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import exc
from sqlalchemy.engine import Connection, Engine, make_url

from optimizer_config.history import default_history_url
from optimizer_ops.history.sqlite_file import watch_file
from optimizer_wire.urls import masked_url

BUSY_S = 10.0
# A fixed number, the same in all recorders of a database: the lock is theirs alone.
_WRITER_LOCK = 5_208_150_243
_MIGRATIONS = "optimizer_ops.history.migrations"


class DatabaseUnavailable(Exception):
    """The database of the history cannot be used; the message says why and what to do."""


class NoHistory(DatabaseUnavailable):
    """Nothing was ever recorded there; the message says where."""


class WrongVersion(DatabaseUnavailable):
    """The tables are of another version than this program."""


def open_engine(url: str, *, create: bool = False) -> Engine:
    """The engine of a history; nothing is connected yet. `create` makes the folder of a SQLite file.

    :raises DatabaseUnavailable: if the folder is missing or the driver of PostgreSQL is not installed.
    """
    parsed = make_url(url or default_history_url())
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(Path(parsed.database or ""), create=create)
    try:
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=4,
            # A server that is gone must not hold a thread for the minutes of TCP.
            connect_args={"connect_timeout": 5, "options": f"-c lock_timeout={int(BUSY_S * 1000)}"},
        )
    except ModuleNotFoundError:
        raise DatabaseUnavailable(
            "The history is in PostgreSQL, and its driver is not installed: pip install 'fleet-optimizer[postgres]'."
        ) from None


def _sqlite(file: Path, *, create: bool) -> Engine:
    if create:
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise DatabaseUnavailable(
                f"The folder {file.parent} of the history cannot be made: {error.strerror}. "
                "Make it, or set [history] url or OPTIMIZER_HISTORY_URL."
            ) from None
    if not file.parent.is_dir():
        raise NoHistory(f"There is no history yet: the folder {file.parent} does not exist. {_START}")
    if not create and not file.exists():
        raise NoHistory(f"There is no history yet: {file} does not exist. {_START}")
    engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": BUSY_S, "check_same_thread": False})

    watch_file(engine, file, make=create)
    return engine


_START = "Start optimizer recorder, which makes it."


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent look at the database.

    :raises DatabaseUnavailable: if it cannot be read.
    """
    with _told(engine), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN" if _is_sqlite(engine) else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield connection
        connection.rollback()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction of the only one who writes: whoever else wants to waits for its end.

    :raises DatabaseUnavailable: if the database cannot be written to; nothing was.
    """
    with _told(engine), engine.connect() as connection:
        if _is_sqlite(engine):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITER_LOCK)))
        yield connection
        connection.commit()


def migrate(engine: Engine) -> None:
    """Bring the tables to the version of this program; makes them where there are none.

    :raises WrongVersion: if they are newer.
    :raises DatabaseUnavailable: if the database cannot be written to.
    """
    script = _script()
    with writing(engine) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == script.get_current_head():
            return
        _refuse_newer(script, current)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check_version(connection: Connection) -> None:
    """Whether the tables are of the version of this program.

    :raises NoHistory: if there are none.
    :raises WrongVersion: if they are of another; the message says what to do.
    """
    script = _script()
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is None:
        raise NoHistory(f"The database of the history is empty. {_START}")
    _refuse_newer(script, current)
    raise WrongVersion(
        f"The tables of the history are older (version {current}) than this program: "
        "restart optimizer recorder with this version, it brings them up to date."
    )


def _refuse_newer(script: ScriptDirectory, current: str | None) -> None:
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise WrongVersion(
            f"The tables of the history are of version {current}, which this program does not know: "
            "a newer optimizer made them. Use that version, or another [history] url."
        )


def _config() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(resources.files(_MIGRATIONS)).replace("%", "%%"))
    return config


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _is_sqlite(engine: Engine) -> bool:
    return engine.dialect.name == "sqlite"


@contextmanager
def _told(engine: Engine) -> Iterator[None]:
    """Faults of the database as one sentence each; those of what it was given are its caller's."""
    try:
        yield
    except (exc.DataError, exc.IntegrityError):
        raise
    except FileNotFoundError as error:
        raise DatabaseUnavailable(f"There is no history any more: {error.filename} does not exist. {_START}") from None
    except exc.DBAPIError as error:
        raise DatabaseUnavailable(f"The history at {shown(engine)} {_reason(error.orig)}") from error
    except sqlite3.Error as error:
        raise DatabaseUnavailable(f"The history at {shown(engine)} {_reason(error)}") from error


def shown(engine: Engine) -> str:
    """Where the history is, without a password."""
    url = engine.url
    return url.database or "" if _is_sqlite(engine) else masked_url(url.render_as_string(hide_password=True))


def _reason(error: Any) -> str:
    text = " ".join(str(error).split())
    words = {
        "locked": "is locked: another program has been writing to it for longer than 10 s.",
        "full": "cannot be written to: the disk is full. Make room, or lower [history] keep_days.",
        "readonly": "cannot be written to by this user: give it the file and its folder.",
        "unable to open": "cannot be opened by this user: give it the file and its folder.",
        "not a database": "is not a database, or is damaged: put a backup in its place, or move it away.",
        "malformed": "is damaged: put a backup in its place, or move it away.",
        "no such table": "has no tables: somebody deleted or replaced it. The recorder makes them anew.",
    }
    return next((said for sign, said in words.items() if sign in text), f"cannot be used: {text}")
