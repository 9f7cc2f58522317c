"""When alerts are raised, told again and cleared. Pure: the clock is passed in.

An alert is raised when its subject was bad for `for_s` without a break, and cleared when it was good for `clear_s`.
Each further time that it is raised within an hour doubles `clear_s`, up to an hour: what comes and goes is one alert.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from optimizer_ops.alerts.finding import Finding
from optimizer_ops.alerts.kinds import rank
from optimizer_ops.history.views import AlertRow
from optimizer_wire.ids import new_id

What = Literal["raised", "escalated", "still", "changed", "cleared"]
FLAPPING_S = 3600.0
# How often the value of an open alert is written down anew.
CHANGED_S = 60.0

Key = tuple[str, str]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened to an alert. `told`: people are to be told; what only `changed` is just written down."""

    what: What
    alert: AlertRow
    told: bool


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What is known from before a restart: an alert of the last hour or an open one, and when people were last told."""

    alert: AlertRow
    told: float | None = None


@dataclass(slots=True)
class _Watch:
    """One subject. The times are since when it is bad, or good, without a break."""

    bad_since: float | None = None
    good_since: float | None = None
    alert: AlertRow | None = None
    told: float | None = None
    changed: float = 0.0
    raised: list[float] = field(default_factory=list)


class Engine:
    """The alerts of one deployment. Of one name and subject at most one is open."""

    def __init__(
        self,
        *,
        for_s: float,
        clear_s: float,
        repeat_s: float = 0.0,
        past: Iterable[Past] = (),
        ids: Callable[[], str] = new_id,
    ) -> None:
        self._for_s, self._clear_s, self._repeat_s = for_s, clear_s, repeat_s
        self._ids = ids
        self._now = 0.0
        self._watches: dict[Key, _Watch] = {}
        for each in past:
            self._now = max(self._now, each.alert.since, each.told or 0.0)
            watch = self._watches.setdefault((each.alert.name, each.alert.subject), _Watch())
            watch.raised.append(each.alert.since)
            if each.alert.until is None:
                watch.alert, watch.told = each.alert, each.told

    @property
    def open(self) -> list[AlertRow]:
        """The open alerts."""
        return [watch.alert for watch in self._watches.values() if watch.alert is not None]

    def judge(
        self, now: float, found: Mapping[str, Sequence[Finding] | None], silenced: frozenset[str] = frozenset()
    ) -> list[Change]:
        """What changes by what was found, by the name of the alert.

        None means that nobody can tell now: nothing is raised or cleared by it. A subject that is not among the
        findings of its name any more is well. `silenced` are names, or `name/subject`, that nobody is to be told of.
        """
        if now < self._now:
            self._set_back(self._now - now)
        self._now = now
        changes: list[Change] = []
        for name, findings in found.items():
            known = {finding.subject: finding for finding in findings or ()}
            for finding in known.values():
                self._watches.setdefault((name, finding.subject), _Watch())
            for (of, subject), watch in list(self._watches.items()):
                if of != name:
                    continue
                if findings is None:
                    watch.bad_since = watch.good_since = None
                else:
                    gone = Finding(name=name, subject=subject, state="good", message="It is not there any more.")
                    changes += self._step(watch, known.get(subject, gone), now)
                changes += self._again(watch, now, silenced)
                if watch.alert is None and subject not in known and not self._recent(watch, now):
                    del self._watches[of, subject]
        return [self._telling(change, silenced, now) for change in changes]

    def _set_back(self, by_s: float) -> None:
        """The clock was ahead, and is right again: everything was as long ago as before."""
        for watch in self._watches.values():
            watch.bad_since = None if watch.bad_since is None else watch.bad_since - by_s
            watch.good_since = None if watch.good_since is None else watch.good_since - by_s
            watch.told = None if watch.told is None else watch.told - by_s
            watch.changed -= by_s
            watch.raised = [at - by_s for at in watch.raised]

    def _step(self, watch: _Watch, finding: Finding, now: float) -> list[Change]:
        bad, good = finding.state == "bad", finding.state == "good"
        watch.bad_since = None if not bad else now if watch.bad_since is None else watch.bad_since
        watch.good_since = None if not good else now if watch.good_since is None else watch.good_since
        if watch.alert is None:
            for_s = self._for_s if finding.for_s is None else finding.for_s
            if watch.bad_since is not None and now - watch.bad_since >= for_s:
                return [self._raise(watch, finding, now)]
        elif watch.good_since is not None:
            if now - watch.good_since >= self._hold_s(watch, finding, now):
                return [self._clear(watch, now)]
        elif bad:
            return self._follow(watch, watch.alert, finding, now)
        return []

    def _raise(self, watch: _Watch, finding: Finding, now: float) -> Change:
        watch.raised = [*self._recent(watch, now), now]
        watch.told, watch.changed = None, now
        watch.alert = AlertRow(
            id=self._ids(),
            name=finding.name,
            subject=finding.subject,
            severity=finding.severity,
            since=now,
            until=None,
            value=finding.value,
            threshold=finding.threshold,
            message=finding.message,
        )
        return Change(what="raised", alert=watch.alert, told=True)

    def _follow(self, watch: _Watch, alert: AlertRow, finding: Finding, now: float) -> list[Change]:
        """An open alert gets worse, or only its value changes; it never gets less severe before it is cleared."""
        worse = rank(finding.severity) > rank(alert.severity)
        if not worse and (finding.message == alert.message or now - watch.changed < CHANGED_S):
            return []
        severity = finding.severity if worse else alert.severity
        watch.changed = now
        watch.alert = msgspec.structs.replace(
            alert, severity=severity, value=finding.value, threshold=finding.threshold, message=finding.message
        )
        return [Change(what="escalated" if worse else "changed", alert=watch.alert, told=worse)]

    def _clear(self, watch: _Watch, now: float) -> Change:
        # It keeps what was wrong: that is what is looked for afterwards.
        alert, watch.alert = watch.alert, None
        watch.bad_since = watch.good_since = None
        cleared = msgspec.structs.replace(alert, until=now)  # type: ignore[type-var]
        # Whoever heard of it hears of its end; who did not need not.
        return Change(what="cleared", alert=cleared, told=watch.told is not None)  # type: ignore[arg-type]

    def _hold_s(self, watch: _Watch, finding: Finding, now: float) -> float:
        clear_s = self._clear_s if finding.clear_s is None else finding.clear_s
        again = max(0, len(self._recent(watch, now)) - 1)
        return max(clear_s, min(clear_s * 2.0 ** min(again, 20), FLAPPING_S))

    def _recent(self, watch: _Watch, now: float) -> list[float]:
        return [at for at in watch.raised if now - at < FLAPPING_S]

    def _again(self, watch: _Watch, now: float, silenced: frozenset[str]) -> list[Change]:
        alert = watch.alert
        if alert is None or alert.since == now or is_silenced(alert, silenced):
            return []
        if watch.told is not None and not (self._repeat_s and now - watch.told >= self._repeat_s):
            return []
        return [Change(what="still", alert=alert, told=True)]

    def _telling(self, change: Change, silenced: frozenset[str], now: float) -> Change:
        """The change as people are told of it, which is noted."""
        watch = self._watches.get((change.alert.name, change.alert.subject))
        if not change.told or change.what == "cleared" or watch is None:
            return change
        if is_silenced(change.alert, silenced):
            return msgspec.structs.replace(change, told=False)
        watch.told = now
        return change


def is_silenced(alert: AlertRow, silenced: frozenset[str]) -> bool:
    """Whether nobody is to be told of this alert."""
    return alert.name in silenced or f"{alert.name}/{alert.subject}" in silenced
