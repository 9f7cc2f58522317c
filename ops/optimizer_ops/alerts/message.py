"""What people are told of alerts: one message of all that is to be told at a time. Pure."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from optimizer_ops.alerts.kinds import SEVERITIES, Severity, rank
from optimizer_ops.alerts.notices import Notice
from optimizer_ops.formatting.units import count_of, duration
from optimizer_ops.history.views import AlertRow
from optimizer_ops.live.advice import what_to_do

# Of any deployment: the same notices are the same message, so that whoever gets it twice can tell.
_SPACE = uuid.UUID("5b0c3b0e-9c63-4f0a-8f0e-3f4d5b7f3a51")
_WORDS = {"escalated": "worse", "still": "still open", "changed": "open", "raised": "new"}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `id` is the same if it is sent again; `lines` are for people, `alerts` for programs."""

    id: str
    deployment: str
    title: str
    severity: Severity
    lines: tuple[str, ...]
    alerts: tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """Title and lines as one text."""
        return "\n".join((self.title, *self.lines))

    def as_json(self) -> bytes:
        """The message for programs."""
        return msgspec.json.encode({"v": 1, **msgspec.structs.asdict(self), "text": self.text})


def message_of(notices: Sequence[Notice], deployment: str) -> Message:
    """One message of these notices (at least one), with one entry for each alert, as it was last."""
    latest: dict[str, Notice] = {}
    first: dict[str, str] = {}
    for notice in notices:
        latest[notice.alert_id] = notice
        first.setdefault(notice.alert_id, notice.what)
    # What is open and severe comes first.
    told = sorted(latest.values(), key=lambda each: (each.alert.until is not None, -rank(each.alert.severity), each.at))
    worst = max((rank(each.alert.severity) for each in told if each.alert.until is None), default=0)
    return Message(
        id=str(uuid.uuid5(_SPACE, " ".join(notice.id for notice in notices))),
        deployment=deployment,
        title=_one_line(f"[{deployment}] {_title([each.alert for each in told])}"),
        severity=SEVERITIES[worst],
        lines=tuple(line for each in told for line in _lines(each, first[each.alert_id])),
        alerts=tuple(_entry(each) for each in told),
    )


def trial(deployment: str, now: float) -> Message:
    """The message by which an operator tries a sink."""
    said = "This is a test: nothing is wrong. Alerts will come this way."
    return Message(
        id=str(uuid.uuid4()),
        deployment=deployment,
        title=_one_line(f"[{deployment}] Test of alerts"),
        severity="info",
        lines=(said, f"Sent {_clock(now)} by optimizer alerts test."),
        alerts=(),
    )


def _title(alerts: Sequence[AlertRow]) -> str:
    lasting = [alert for alert in alerts if alert.until is None]
    if len(alerts) == 1:
        (alert,) = alerts
        state = alert.severity if alert.until is None else "cleared"
        return f"{state}: {alert.name.removeprefix('optimizer.')} of {alert.subject}"
    if not lasting:
        return f"{count_of(len(alerts), 'alert')} cleared"
    over = len(alerts) - len(lasting)
    severe = sum(alert.severity == "critical" for alert in lasting)
    return (
        count_of(len(lasting), "alert")
        + (f", {severe} critical" if severe else "")
        + (f"; {over} cleared" if over else "")
    )


def _lines(notice: Notice, first: str) -> Iterator[str]:
    alert = notice.alert
    what = f"{alert.name} ({alert.subject})"
    if alert.until is not None:
        lasted = duration(max(0.0, alert.until - alert.since))
        missed = " Nobody was told before." if first == "raised" else ""
        yield _one_line(
            f"Cleared: {what}, open for {lasted} since {_clock(alert.since)}. It was: {alert.message}{missed}"
        )
        return
    yield _one_line(f"{alert.severity.capitalize()} ({_WORDS[notice.what]}): {what} since {_clock(alert.since)}.")
    yield _one_line(f"  {alert.message}")
    if do := what_to_do(alert.name, alert.subject):
        yield f"  What to do: {do}"


def _entry(notice: Notice) -> dict[str, Any]:
    alert = notice.alert
    state = "open" if alert.until is None else "cleared"
    return {
        **msgspec.structs.asdict(alert),
        "state": state,
        "what": notice.what,
        "what_to_do": what_to_do(alert.name, alert.subject),
    }


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _one_line(text: str) -> str:
    """Without what would break out of a line of a mail's header or a terminal."""
    return "".join(each if each.isprintable() else " " for each in text).rstrip()
