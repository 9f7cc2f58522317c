"""Brings notices to one sink: all that is due in one message, again after a pause if that fails."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy.engine import Engine as Database

from optimizer_ops.alerts import register
from optimizer_ops.alerts.metrics import NOTICES
from optimizer_ops.alerts.notices import Notice, give_up
from optimizer_ops.alerts.sinks.sink import NotTold, PartlyTold
from optimizer_ops.history.database import DatabaseUnavailable, reading, writing
from optimizer_service.logs import Logger
from optimizer_wire.cancellation import set_within

# Something may become due without anybody saying so: at the end of a quiet time.
LOOK_S = 15.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 120.0

Tell = Callable[[Sequence[Notice]], Awaitable[None]]


class Delivery:
    """One sink's way. It runs in a task of its own, so that no sink waits for another one."""

    def __init__(
        self, sink: str, tell: Tell, timeout_s: float, database: Database, may: Callable[[], bool], log: Logger
    ) -> None:
        self.sink = sink
        # Whether it is this process that tells.
        self._may = may
        self._tell = tell
        self._timeout_s = timeout_s
        self._database = database
        self._log = log.bind(sink=sink)
        self._woken = asyncio.Event()
        self._failures = 0
        # What has been told, and could not be noted yet.
        self._told: list[str] = []
        self._database_trouble = ""

    def wake(self) -> None:
        """There may be something to tell."""
        self._woken.set()

    async def run(self) -> None:
        """Bring what comes, until cancelled."""
        while True:
            self._woken.clear()
            try:
                pause_s = await self._once()
                self._database_trouble = ""
            except DatabaseUnavailable as error:
                pause_s = LOOK_S
                if not self._database_trouble:
                    self._database_trouble = str(error)
                    self._log.warning("notices cannot be read or noted", reason=str(error))
            if pause_s:
                await asyncio.sleep(pause_s)
                continue
            await set_within(self._woken, LOOK_S)

    async def _once(self) -> float:
        """Tell what is due; returns for how long to leave the sink alone after a failure."""
        await self._note()
        notices = await asyncio.to_thread(self._waiting) if self._may() else []
        if not notices:
            return 0.0
        try:
            # A sink keeps its own time; this is for one that does not.
            async with asyncio.timeout(3 * self._timeout_s + 5):
                await self._tell(notices)
        except PartlyTold as error:
            self._log.warning("alerts were told to some only", reason=str(error))
        except NotTold as error:
            return await self._failed(notices, str(error))
        except TimeoutError:
            return await self._failed(notices, f"It took longer than {3 * self._timeout_s + 5:g} s.")
        except Exception as error:  # noqa: BLE001 - a fault of one sink must not end the telling of all that follows
            self._log.exception("telling alerts failed")
            return await self._failed(notices, f"It failed ({type(error).__name__}).")
        NOTICES.labels(sink=self.sink, result="told").inc(len(notices))
        if self._failures:
            self._log.info("alerts can be told again")
        self._failures = 0
        self._told += [notice.id for notice in notices]
        await self._note()
        return 0.0

    async def _note(self) -> None:
        if self._told:
            await asyncio.to_thread(self._write_told, list(self._told))
            self._told.clear()

    async def _failed(self, notices: Sequence[Notice], why: str) -> float:
        now = time.time()
        lost = [notice for notice in notices if give_up(notice, now)]
        NOTICES.labels(sink=self.sink, result="failed").inc(len(notices) - len(lost))
        NOTICES.labels(sink=self.sink, result="given_up").inc(len(lost))
        if not self._failures:
            self._log.warning("alerts cannot be told; trying again", reason=why)
        if lost:
            self._log.error("alerts were never told", count=len(lost), reason=why)
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 10), LONGEST_PAUSE_S)
        self._failures += 1
        await asyncio.to_thread(self._write_failed, notices, lost, why)
        return pause_s

    def _waiting(self) -> list[Notice]:
        with reading(self._database) as connection:
            found = register.waiting(connection, self.sink, time.time())
        return [notice for notice in found if notice.id not in self._told]

    def _write_told(self, ids: Sequence[str]) -> None:
        with writing(self._database) as connection:
            register.told(connection, ids, time.time())

    def _write_failed(self, notices: Sequence[Notice], lost: Sequence[Notice], why: str) -> None:
        with writing(self._database) as connection:
            register.failed(connection, [each.id for each in notices if each not in lost], why, give_up=False)
            register.failed(connection, [each.id for each in lost], why, give_up=True)
