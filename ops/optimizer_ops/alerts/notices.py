"""Who is to be told what, and when. Pure."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from optimizer_config.alert_settings import AlertSeverity, Quiet
from optimizer_ops.alerts.engine import Change, What
from optimizer_ops.alerts.kinds import rank
from optimizer_ops.history.views import AlertRow
from optimizer_wire.ids import new_id

# Everything is told as an event, whatever is configured.
EVENT_SINK = "event"
# What could not be told for so long, or so often, is history.
TRIED_S = 86_400.0
TRIES = 40


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell one sink, at `due` at the earliest; the row of `notices`."""

    id: str
    alert_id: str
    sink: str
    what: What
    at: float
    due: float
    alert: AlertRow
    attempts: int = 0
    trouble: str | None = None
    sent: float | None = None
    given_up: bool = False


def notices_of(
    changes: Iterable[Change], sinks: Iterable[tuple[str, AlertSeverity]], quiet: Quiet | None, now: float
) -> Iterator[Notice]:
    """What is to be told of these changes. `sinks` are pairs of a name and the least severity that it is told."""
    sinks = list(sinks)
    for change in changes:
        if change.what in {"raised", "escalated", "cleared"}:
            yield _notice(change, EVENT_SINK, now, now)
        if not change.told:
            continue
        due = now if change.alert.severity == "critical" else loud_again(quiet, now)
        for name, least in sinks:
            if rank(change.alert.severity) >= rank(least):
                yield _notice(change, name, now, due)


def _notice(change: Change, sink: str, at: float, due: float) -> Notice:
    return Notice(
        id=new_id(), alert_id=change.alert.id, sink=sink, what=change.what, at=at, due=due, alert=change.alert
    )


def loud_again(quiet: Quiet | None, now: float) -> float:
    """When people may be told again: now, or the end of the quiet time that it is (Unix seconds)."""
    if quiet is None:
        return now
    local = datetime.fromtimestamp(now, ZoneInfo(quiet.zone))
    minute = local.hour * 60 + local.minute
    over_night = quiet.start_minute > quiet.end_minute
    late, early = minute >= quiet.start_minute, minute < quiet.end_minute
    if not (late or early if over_night else late and early):
        return now
    end = local.replace(hour=quiet.end_minute // 60, minute=quiet.end_minute % 60, second=0, microsecond=0, fold=0)
    if over_night and late:
        # Of the wall clock: that day may have 23 or 25 hours.
        end = (end.replace(tzinfo=None) + timedelta(days=1)).replace(tzinfo=ZoneInfo(quiet.zone))
    # Where the clock is set back, the end may have been an hour ago by the same wall clock.
    return max(now, end.timestamp())


def give_up(notice: Notice, now: float) -> bool:
    """Whether a notice that could not be told has been tried enough."""
    return notice.attempts + 1 >= TRIES or now - max(notice.at, notice.due) > TRIED_S
