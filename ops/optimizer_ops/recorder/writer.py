"""Writes batches of events into the history until they are there, however long that takes."""

import asyncio
import time
from collections.abc import Callable, Sequence

from sqlalchemy import exc

from optimizer_ops.history.database import DatabaseUnavailable
from optimizer_ops.recorder.metrics import (
    BATCH,
    BATCH_SECONDS,
    DATABASE_UP,
    LAG,
    LOST,
    RECORDED,
    REFUSED,
    WRITE_FAILURES,
)
from optimizer_ops.recorder.store import HistoryStore
from optimizer_service.logs import Logger
from optimizer_wire.backoff import backoff_s
from optimizer_wire.events import Event

LONGEST_PAUSE_S = 15.0
# A transaction takes milliseconds, and a locked database says so after ten seconds.
STUCK_S = 120.0
# What a database says of a value that no row can hold, and Python of one that it cannot make into a row.
_UNFIT = (exc.DataError, exc.IntegrityError, exc.StatementError, OverflowError, ValueError, TypeError, KeyError)


class Writer:
    """Writes into one history. `trouble` is why the last write failed, or None."""

    def __init__(self, store: HistoryStore, log: Logger) -> None:
        self._store = store
        self._log = log
        self.trouble: str | None = None
        self.waiting = 0
        # When the oldest event that is being written happened; or how old it was, while more wait.
        self._oldest: float | None = None
        self._lag_s = 0.0
        self._began: float | None = None
        LAG.set_function(self.lag_s)

    @property
    def flowing(self) -> bool:
        """Whether no transaction hangs; one that fails and is tried again is known and told."""
        return self._began is None or time.monotonic() - self._began < STUCK_S

    def lag_s(self) -> float:
        """How far the history is behind, in seconds; 0 if nothing waits."""
        if self._oldest is not None:
            return max(0.0, time.time() - self._oldest)
        return self._lag_s if self.waiting else 0.0

    async def write(self, batch: Sequence[Event], given_up: Callable[[], bool]) -> list[Event] | None:
        """Write a batch; returns the events that were new, or None if it was given up before it was there."""
        attempt = 0
        self._oldest = min(event.time for event in batch)
        while True:
            self._began = time.monotonic()
            try:
                new = await asyncio.to_thread(self._write, batch)
            except DatabaseUnavailable as error:
                self.failed(error)
            else:
                self.worked()
                self._lag_s, self._oldest = self.lag_s(), None
                return new
            finally:
                self._began = None
            pause_s = backoff_s(attempt, cap_s=LONGEST_PAUSE_S)
            until = time.monotonic() + pause_s
            while time.monotonic() < until:
                if given_up():
                    self._oldest = None
                    return None
                await asyncio.sleep(0.05)
            attempt += 1

    async def beat(self) -> None:
        """Say that the recorder lives, and count what is lost."""
        try:
            lost = await asyncio.to_thread(self._store.settle, self.waiting)
        except DatabaseUnavailable as error:
            self.failed(error)
        else:
            LOST.inc(lost)
            self.worked()

    def _write(self, batch: Sequence[Event]) -> list[Event]:
        """Write a batch; an event that no row can hold must not keep the others out for ever."""
        began = time.monotonic()
        try:
            new, lost = self._store.record(batch, self.waiting)
        except _UNFIT as error:
            if len(batch) == 1:
                REFUSED.inc()
                self._log.error("event not recorded", type=batch[0].type, id=batch[0].id, reason=repr(error)[:300])
                return []
            half = len(batch) // 2
            return [*self._write(batch[:half]), *self._write(batch[half:])]
        BATCH.observe(len(batch))
        BATCH_SECONDS.observe(time.monotonic() - began)
        RECORDED.inc(len(new))
        if lost > 0:  # less than none: what had been given up came after all
            LOST.inc(lost)
            self._log.warning("events are missing", lost=lost)
        return new

    def failed(self, error: DatabaseUnavailable) -> None:
        """The database took nothing."""
        DATABASE_UP.set(0)
        WRITE_FAILURES.inc()
        if self.trouble != str(error):
            self.trouble = str(error)
            self._log.error("history not written", reason=self.trouble, then="what waits stays in the queue")

    def worked(self) -> None:
        """The database took something."""
        DATABASE_UP.set(1)
        if self.trouble is not None:
            self.trouble = None
            self._log.warning("history is written again")
