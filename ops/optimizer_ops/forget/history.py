"""Forgetting a tenant in the history. Blocking."""

import sys
import time

from sqlalchemy.engine import Engine

from optimizer_ops.history.database import DatabaseUnavailable, NoHistory, open_engine
from optimizer_ops.recorder.erasure import erase, found

# Whoever else writes does so in between.
_PAUSE_S = 0.05


def forget_history(url: str, tenant: str, *, dry_run: bool, kept: bool) -> dict[str, int]:
    """Take a tenant out of the history (or only count); returns how many rows of which tables, none without a history.

    `kept` says whether a recorder keeps one somewhere.

    :raises DatabaseUnavailable: if the history is away; what was removed by then stays removed.
    """
    try:
        engine = open_engine(url)
        try:
            return found(engine, tenant) if dry_run else _erase(engine, tenant)
        finally:
            engine.dispose()
    except NoHistory:
        if not kept:
            return {}
        raise DatabaseUnavailable(
            "A recorder has kept a history, and it is not here: run this where the recorder runs, "
            "with its [history] url or OPTIMIZER_HISTORY_URL."
        ) from None


def _erase(engine: Engine, tenant: str) -> dict[str, int]:
    rows: dict[str, int] = {}
    for table, gone in erase(engine, tenant, time.time()):
        rows[table] = rows.get(table, 0) + gone
        _show(f"{sum(rows.values()):,} rows of the history removed")
        time.sleep(_PAUSE_S)
    _show("")
    return rows


def _show(progress: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{progress:<50}" if progress else "\n")
        sys.stderr.flush()
