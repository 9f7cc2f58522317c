"""Where everything that is shown comes from: the history, what is now, and the events. Shared by pages and API."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from optimizer_config.model import Config
from optimizer_ops.dashboard.cached import Cached
from optimizer_ops.dashboard.hub import EventHub
from optimizer_ops.dashboard.letters import FRESH_S, Listed, listed
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.live.live import Live
from optimizer_ops.live.status import LiveStatus
from optimizer_state.store import Store

T = TypeVar("T")

# The database may be asked by so many at a time; the rest waits in line.
_THREADS = 4
_LONGEST_S = 10.0
_OPEN_AGAIN_S = 1.0


class Sources:
    """What the process reads from. Every question is asked at most once a second, however many look."""

    def __init__(self, config: Config, live: Live, hub: EventHub, stop: asyncio.Event) -> None:
        self.config = config
        self.hub = hub
        self.stop = stop
        self.started = time.time()
        self.cached = Cached()
        self.store = Store(config.redis_url, config.prefix)
        self._live = live
        self._history: History | None = None
        self._not_before = 0.0
        self._unavailable = ""
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="history")

    async def ask(self, question: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Ask the history: `await sources.ask(History.totals, since, agent="quality")`.

        :raises HistoryUnavailable: with a sentence: there is none yet, or the database is away or slow.
        """
        key = (question.__name__, arguments, tuple(sorted(keywords.items())))

        def answer() -> T:
            return question(self._opened(), *arguments, **keywords)

        async def asked() -> T:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(_LONGEST_S):
                    return await loop.run_in_executor(self._threads, answer)
            except TimeoutError:
                raise HistoryUnavailable(
                    f"The history did not answer within {_LONGEST_S:.0f} s: its database is busy or away."
                ) from None

        return await self.cached.get(key, asked)

    async def look(self) -> LiveStatus:
        """What is now: backends, queues, processes, problems."""
        return await self.cached.get("look", self._live.look)

    async def letters(self) -> Listed:
        """The dead letters, as they were a few seconds ago.

        :raises LettersUnavailable: with a sentence.
        """
        kept = (await self.look()).queue("kept")
        ready = kept.ready if kept else None
        return await self.cached.get("letters", lambda: listed(self.config, ready), fresh_s=FRESH_S)

    async def close(self) -> None:
        """Let go of the database and of Redis."""
        await self.store.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._history is not None:
            self._history.close()

    def _opened(self) -> History:
        """The history; opened anew as long as there is none. Runs in a thread: two may open it, one is kept."""
        if self._history is None:
            if time.monotonic() < self._not_before:
                raise HistoryUnavailable(self._unavailable)
            try:
                self._history = History.open(self.config.history_url)
            except HistoryUnavailable as error:
                self._unavailable, self._not_before = str(error), time.monotonic() + _OPEN_AGAIN_S
                raise
        return self._history
