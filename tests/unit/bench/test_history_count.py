"""Whether the benchmark sees what the recorder has lost."""

import asyncio
import sqlite3
from contextlib import closing
from types import SimpleNamespace

from tests.bench import deployment
from tests.bench.deployment import Deployment


async def test_requests_without_a_finished_row_are_missing(tmp_path, monkeypatch):
    """What has no row, or one that is still open, is missing, and is waited for only as long as rows come."""
    monkeypatch.setattr(deployment, "LOST_S", 0.05)
    with closing(sqlite3.connect(tmp_path / "history.db")) as history, history:
        history.execute("CREATE TABLE requests (outcome TEXT)")
        history.executemany("INSERT INTO requests VALUES (?)", [("answered",), ("open",)])
    where = Deployment(SimpleNamespace(folder=tmp_path), recorder=object(), asked=3)
    async with asyncio.timeout(5):
        await where.caught_up()
    assert where.missing() == 2
