"""Looks at the fleet again and again, and writes down what is wrong and who is to be told of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy.engine import Engine as Database

from optimizer_config.model import Config
from optimizer_ops.alerts import register
from optimizer_ops.alerts.counts import RECENT_S, dead_letters, events_lost, rate_limited
from optimizer_ops.alerts.engine import Change, Engine, Past
from optimizer_ops.alerts.finding import Finding
from optimizer_ops.alerts.kinds import (
    BACKEND_DOWN,
    DEAD,
    DEGRADED,
    LOST,
    NAMES,
    RATE_LIMIT,
    SERVICE_DOWN,
    SEVERITIES,
    SPEND,
)
from optimizer_ops.alerts.measure import Counted, counted, spent
from optimizer_ops.alerts.metrics import OPEN
from optimizer_ops.alerts.notices import Notice, notices_of
from optimizer_ops.alerts.objectives import degraded
from optimizer_ops.alerts.outages import backends_down, services_down
from optimizer_ops.alerts.spending import Spent, budgets_of, spending
from optimizer_ops.history.database import reading, writing
from optimizer_ops.live.status import LiveStatus

# Sums over a month are not free, and money is not spent that fast.
SPEND_S = 60.0
LOOK_TIMEOUT_S = 6.0

Look = Callable[[], Awaitable[LiveStatus]]
Findings = dict[str, Sequence[Finding] | None]


class Watch:
    """What is watched, and the engine that judges it. `restore` before the first `look`."""

    def __init__(self, config: Config, database: Database, look: Look) -> None:
        self._config = config
        self._settings = config.alerts
        self._database = database
        self._look = look
        self._budgets = budgets_of(config)
        self._sinks = [(sink.name, sink.least) for sink in config.alerts.sinks]
        self._engine = Engine(for_s=0.0, clear_s=0.0)
        self._spent: Spent = {}
        self._spent_at = 0.0
        # How many events were lost in all, by the time that it was seen.
        self._lost: list[tuple[float, int]] = []
        # What was judged and could not be written yet.
        self._changes: list[Change] = []
        self._notices: list[Notice] = []

    async def restore(self) -> None:
        """Take up what was open when the last recorder ended.

        :raises DatabaseUnavailable: if the history cannot be read or written.
        """
        past = await asyncio.to_thread(self._past)
        settings = self._settings
        self._engine = Engine(for_s=settings.for_s, clear_s=settings.clear_s, repeat_s=settings.repeat_s, past=past)
        self._show()

    async def look(self) -> bool:
        """Look once; whether anybody is to be told something.

        :raises DatabaseUnavailable: if the history cannot be read or written; what was judged is written next time.
        """
        live = await self._live()
        now = time.time()
        numbers, silenced = await asyncio.to_thread(self._numbers, now)
        found = self._findings(live, numbers, now)
        changes = self._engine.judge(now, found, frozenset(silenced))
        self._changes += changes
        self._notices += notices_of(changes, self._sinks, self._settings.quiet, now)
        if not self._changes:
            return False
        told = bool(self._notices)
        await asyncio.to_thread(self._write)
        self._changes, self._notices = [], []
        self._show()
        return told

    async def _live(self) -> LiveStatus | None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                return await self._look()
        except TimeoutError:
            return None

    def _findings(self, live: LiveStatus | None, numbers: Counted, now: float) -> Findings:
        config = self._config
        return {
            DEGRADED: list(degraded(self._settings, numbers.served)),
            RATE_LIMIT: list(rate_limited(self._settings, numbers.throttled)),
            DEAD: list(dead_letters(numbers.dead)),
            LOST: list(events_lost(self._lost_lately(numbers.lost, now))),
            SPEND: list(spending(self._budgets, self._spent, now)),
            BACKEND_DOWN: None if live is None else backends_down(live, config.routes),
            SERVICE_DOWN: None if live is None else list(services_down(live)),
        }

    def _lost_lately(self, lost: int, now: float) -> int:
        """How many more events are lost than a while ago; what was lost before this process began is not news."""
        recent = [(at, total) for at, total in self._lost if now - at <= RECENT_S]
        # The last one before the span is what it began with. Only changes are kept, so that it stays short.
        self._lost = [*self._lost[: len(self._lost) - len(recent)][-1:], *recent]
        if not self._lost or self._lost[-1][1] != lost:
            self._lost.append((now, lost))
        return max(0, lost - self._lost[0][1])

    def _past(self) -> list[Past]:
        now = time.time()
        with writing(self._database) as connection:
            register.drop(connection, ["event", *(name for name, _ in self._sinks)], now)
            return register.past(connection, now)

    def _numbers(self, now: float) -> tuple[Counted, dict[str, float]]:
        with reading(self._database) as connection:
            if now - self._spent_at >= SPEND_S:
                self._spent, self._spent_at = spent(connection, self._budgets, now), now
            return counted(connection, self._settings, now), register.silenced(connection, now)

    def _write(self) -> None:
        with writing(self._database) as connection:
            register.write(connection, self._changes, self._notices)

    def _show(self) -> None:
        open_ = [(alert.name, alert.severity) for alert in self._engine.open]
        for name in NAMES:
            for severity in SEVERITIES:
                OPEN.labels(name=name, severity=severity).set(open_.count((name, severity)))
