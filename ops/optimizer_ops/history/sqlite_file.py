"""The connections to a SQLite file: how they are set up, and that they are to the file that has this name now."""

import errno
import os
import sqlite3
from pathlib import Path

from sqlalchemy import event, exc
from sqlalchemy.engine import Engine
from sqlalchemy.pool import ConnectionPoolEntry

# Of each connection. What is recorded lands on few pages; more than this made it no faster.
RECORDER_CACHE_KIB = 8 * 1024
READER_CACHE_KIB = 32 * 1024


def watch_file(engine: Engine, file: Path, *, make: bool) -> None:
    """Set up every connection, and let go of those to a file that was deleted or replaced.

    Without `make` connecting raises FileNotFoundError where there is no file: SQLite would make an empty one.
    """

    @event.listens_for(engine, "do_connect")
    def refuse(*_: object) -> None:
        if not make and not file.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        # BEGIN is said by `writing`: the driver's own would take the lock only at the first write, and two that read
        # before they write would hinder each other.
        connection.isolation_level = None
        # WAL: readers and the recorder do not wait for each other. NORMAL keeps what was committed when a process
        # dies; a power cut may cost the last transactions, whose events RabbitMQ has had acknowledged.
        cache = RECORDER_CACHE_KIB if make else READER_CACHE_KIB
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"cache_size=-{cache}", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}").close()
        entry.info["file"] = _identity(file)

    @event.listens_for(engine, "checkout")
    def look(_: object, entry: ConnectionPoolEntry, __: object) -> None:
        # A file without a name can still be written to by whoever has it open, and read by nobody else.
        if entry.info["file"] != _identity(file):
            raise exc.DisconnectionError("The file was deleted or replaced.")


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
