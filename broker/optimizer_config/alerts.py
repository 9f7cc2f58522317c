"""Alerts, budgets to warn of, and who is told, as people write them: `[alerts]`."""

import re
from collections.abc import Iterator
from typing import Any

from optimizer_config.alert_settings import SPENDERS, AlertSettings, Quiet, SpendBudget, Spender
from optimizer_config.alert_sinks import read_sinks
from optimizer_config.reader import Table, shown
from optimizer_config.resets import zone_exists

_QUIET = re.compile(r"([01]?\d|2[0-3]):([0-5]\d) *- *([01]?\d|2[0-3]):([0-5]\d) +(\S+)")
_PERIODS = {"usd_per_day": "day", "usd_per_month": "month"}


def read_alerts(root: Table) -> AlertSettings:
    """`[alerts]`.

    :raises ConfigError: naming the place.
    """
    table = root.table("alerts")
    given: dict[str, Any] = {
        "success_rate": table.share("success_rate"),
        "p95_ms": table.number("p95_ms"),
        "hit_rate": table.share("hit_rate"),
        "window_s": table.seconds("window_s", least=5.0),
        "least_requests": table.whole("least_requests"),
        "throttled": table.whole("throttled"),
        "throttled_s": table.seconds("throttled_s", least=5.0),
        "for_s": table.seconds("for_s"),
        "clear_s": table.seconds("clear_s", least=1.0),
        "repeat_s": table.seconds("repeat_s"),
        "quiet": _quiet(table),
        "budgets": tuple(_budgets(table.table("budgets"))),
        "sinks": read_sinks(table),
    }
    table.finish()
    return AlertSettings(**{name: value for name, value in given.items() if value is not None})


def _quiet(table: Table) -> Quiet | None:
    text = table.text("quiet")
    if text is None:
        return None
    written = _QUIET.fullmatch(text.strip())
    if written is None:
        table.fail("quiet", f'must be two times and a time zone, for example "22:00-07:00 UTC", got {shown(text)}.')
    start_h, start_m, end_h, end_m, zone = written.groups()
    if not zone_exists(zone):
        table.fail("quiet", f'names the unknown time zone {shown(zone)}; write one like "Europe/Berlin" or "UTC".')
    quiet = Quiet(int(start_h) * 60 + int(start_m), int(end_h) * 60 + int(end_m), zone)
    if quiet.start_minute == quiet.end_minute:
        table.fail("quiet", "begins when it ends; to tell only what is critical write least in [[alerts.sinks]].")
    return quiet


def _budgets(table: Table) -> Iterator[SpendBudget]:
    for spender in SPENDERS:
        yield from _amounts(table.table(spender), spender)
        if spender != "fleet":
            named = table.table(f"{spender}s")
            for name in named.unread():
                yield from _amounts(named.table(name), spender, name)
    table.finish()


def _amounts(table: Table, spender: Spender, name: str = "") -> Iterator[SpendBudget]:
    for key, every in _PERIODS.items():
        if (micro_usd := table.micro_usd(key)) is not None:
            yield SpendBudget(spender, every, micro_usd, name)  # type: ignore[arg-type]
    table.finish()
