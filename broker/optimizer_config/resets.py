"""When fixed windows begin anew, as people write it: `00:00 America/Los_Angeles`, `month 00:00 UTC`."""

import re
from zoneinfo import ZoneInfo

from optimizer_config.model import Reset
from optimizer_config.reader import Table, shown

DAY_S = 86_400.0
# Whoever keeps every window of 31 days keeps every calendar month.
MONTH_S = 31 * DAY_S
_PERIODS_S = {"day": DAY_S, "month": MONTH_S}
_WRITTEN = re.compile(r"(?:(?P<every>day|month) +)?(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d) +(?P<zone>\S+)")


def read_reset(table: Table) -> Reset | None:
    """The `reset` of a table of limits, or None if it has none.

    :raises ConfigError: naming the place.
    """
    text = table.text("reset")
    if text is None:
        return None
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        table.fail(
            "reset",
            'must be a time of day and a time zone, for example "00:00 America/Los_Angeles" for limits of a day or '
            f'"month 00:00 UTC" for limits of a month, got {shown(text)}.',
        )
    zone = written["zone"]
    if not zone_exists(zone):
        table.fail("reset", f'names the unknown time zone {shown(zone)}; write one like "Europe/Berlin" or "UTC".')
    return Reset("month" if written["every"] == "month" else "day", int(written["hour"]), int(written["minute"]), zone)


def period_s(reset: Reset) -> float:
    """How long the windows are that begin anew at this time, in seconds; a month counts 31 days."""
    return _PERIODS_S[reset.every]


def zone_exists(zone: str) -> bool:
    """Whether the time zone database has a zone of this name."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        # Not found, not a name, and a folder of zones such as "America".
        return False
    return True
