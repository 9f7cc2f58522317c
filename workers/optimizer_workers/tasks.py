"""The tasks of one worker: what it does with single calls beside its loops."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from optimizer_service.logs import Logger
from optimizer_wire.broker_errors import BrokerUnavailable
from optimizer_workers.ending import Ending
from optimizer_workers.job import Job
from optimizer_workers.link import Link


class Tasks:
    """Runs them; `running` are those on their way."""

    def __init__(self, ending: Ending, link: Link, log: Logger) -> None:
        self._ending = ending
        self._link = link
        self._log = log
        self.running: set[asyncio.Task[None]] = set()

    def spawn(self, job: Job, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Do something with one call, to its end."""
        return self.spawn_alone(self._guarded(job, work))

    def spawn_alone(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Do something that belongs to no call."""
        task = asyncio.ensure_future(work)
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return task

    async def _guarded(self, job: Job, work: Coroutine[Any, Any, None]) -> None:
        """Without a connection the outcome waits in Redis for the redelivery."""
        try:
            await work
        except BrokerUnavailable:
            self._log.info("finished without a connection", work=job.call.work_id)
        except Exception:  # noqa: BLE001 - one request that we cannot handle must not harm its neighbours
            self._log.exception("job failed", work=job.call.work_id)
            await self._break_off(job)

    async def _break_off(self, job: Job) -> None:
        try:
            await self._ending.break_off(job)
        except BrokerUnavailable:
            self._log.info("broke off without a connection", work=job.call.work_id)
        except Exception:  # noqa: BLE001 - then its delivery stays unacked, for another worker
            self._log.exception("job failed for good", work=job.call.work_id)
            self._link.give_up()
