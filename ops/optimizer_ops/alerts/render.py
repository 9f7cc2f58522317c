"""Alerts as people read them. Pure."""

from collections.abc import Iterator, Sequence

import msgspec
from rich.text import Text

from optimizer_ops.alerts.notices import Notice
from optimizer_ops.formatting.moments import clock
from optimizer_ops.formatting.units import count_of, duration
from optimizer_ops.history.views import AlertRow
from optimizer_ops.live.advice import what_to_do
from optimizer_ops.terminal.grid import Head, grid

_STYLES = {"critical": "bold red", "warning": "yellow", "info": "cyan"}
_HEADS = (
    Head("severity"),
    Head("alert"),
    Head("of"),
    Head("since", 2),
    Head("for", 1, right=True),
    Head("what is wrong", least=20),
)


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """What lasts and what is over; what nobody is told of, and until when; what could not be told."""

    alerts: list[AlertRow]
    silenced: dict[str, float]
    not_told: list[Notice]


def lines(picture: Picture, sinks: Sequence[str], now: float, width: int | None) -> Iterator[Text | str]:
    """The lines of the picture."""
    lasting = [alert for alert in picture.alerts if alert.until is None]
    over = [alert for alert in picture.alerts if alert.until is not None]
    if lasting:
        yield from _table("Wrong now", lasting, now, width)
        yield ""
        known = (f"{alert.name}: {what_to_do(alert.name, alert.subject)}" for alert in lasting)
        yield from dict.fromkeys(known)
    else:
        yield "Nothing is wrong."
    if over:
        yield ""
        yield from _table("Over", over, now, width)
    yield from _told(picture, sinks, now)


def _table(title: str, alerts: Sequence[AlertRow], now: float, width: int | None) -> Iterator[Text]:
    yield Text(title, style="bold")
    rows = [
        (
            Text(alert.severity, style=_STYLES.get(alert.severity, "")),
            alert.name,
            alert.subject,
            clock(alert.since, now),
            duration(max(0.0, (alert.until or now) - alert.since)),
            alert.message,
        )
        for alert in alerts
    ]
    yield from grid(_HEADS, rows, width)


def _told(picture: Picture, sinks: Sequence[str], now: float) -> Iterator[str]:
    yield ""
    yield f"Told: {', '.join(sinks)}." if sinks else "Nobody is told: write [[alerts.sinks]] (docs/operations.md)."
    for name, until in picture.silenced.items():
        yield f"Silent until {clock(until, now)}: {name}"
    by_sink: dict[str, list[Notice]] = {}
    for notice in picture.not_told:
        by_sink.setdefault(notice.sink, []).append(notice)
    for sink, notices in by_sink.items():
        lost = sum(notice.given_up for notice in notices)
        which = f", {lost} of them never will be" if lost else ""
        yield f"{sink}: {count_of(len(notices), 'notice')} could not be told yet{which}. {notices[-1].trouble}"
