"""What the history adds to the present: today, the last hour and seven days. Blocking; it never raises."""

import time
from datetime import datetime, timedelta

import msgspec

from optimizer_config.model import Config
from optimizer_ops.history.reader import History, HistoryUnavailable
from optimizer_ops.history.views import AlertRow, Recording, Totals

HOUR_S = 3_600.0
WEEK = timedelta(days=7)


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over spans that end now; `hour` is the last 60 minutes, `today` begins at midnight of this machine's zone.

    `missing` says why there are none.
    """

    missing: str = ""
    hour: Totals = Totals()
    today: Totals = Totals()
    week: Totals = Totals()
    backends: dict[str, Totals] = {}
    agents: int = 0
    agents_active: int = 0
    recording: Recording | None = None
    alerts: list[AlertRow] = []


def past_of(config: Config, now: float | None = None) -> Past:
    """What the history of this configuration tells of the time until now."""
    now = time.time() if now is None else now
    try:
        history = History.open(config.history_url)
    except HistoryUnavailable as error:
        return Past(missing=str(error))
    try:
        return _read(history, now)
    except HistoryUnavailable as error:
        return Past(missing=str(error))
    finally:
        history.close()


def _read(history: History, now: float) -> Past:
    midnight = datetime.fromtimestamp(now).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    since = now - HOUR_S
    agents = history.agents(since)
    return Past(
        hour=history.totals(since),
        today=history.totals(midnight.timestamp()),
        week=history.totals(now - WEEK.total_seconds()),
        backends={share.name: share.totals for share in history.shares("backend", since)},
        agents=len(agents),
        agents_active=sum(profile.last_seen >= since for profile in agents),
        recording=history.recording(),
        alerts=history.alerts(since, open_only=True),
    )
