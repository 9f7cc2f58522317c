"""What a response's headers say of the backend's limits. Pure.

It may lower what we think is left, so what is doubtful is left out rather than guessed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from optimizer_backends.classify import sentence
from optimizer_backends.hints import LONGEST_PARK_S, LONGEST_PAUSE_S, header, http_date
from optimizer_backends.outcome import Outcome
from optimizer_backends.ratelimit_tables import DAY, MINUTE, TABLES, Row, Table
from optimizer_backends.ratelimit_values import count, items, seconds
from optimizer_backends.result import CallResult, Headers
from optimizer_config.amounts import Remaining

# Resets are rounded, and measured a moment before or after the date.
_LATE = 1.1
_NEARLY = 1.25
_ROUNDED_TO = 1000
_UNIFIED = "anthropic-ratelimit-unified-"


def remaining(table: str | None, headers: Headers, status: int | None) -> tuple[Remaining, ...]:
    """What is left of each limit that the headers tell by the table of this name; nothing if there is no such table.

    Never raises, whatever the headers hold. Of two that tell the same limit the lower one counts.
    """
    known = TABLES.get(table or "")
    if known is None:
        return ()
    told: dict[str, str] = {}
    for name, value in headers:
        told.setdefault(name, value)
    date = http_date(told.get("date"))
    lowest: dict[tuple[str, float], Remaining] = {}
    for found in _corrected(known, _read(known, told, date), told, status):
        key = (found.dimension, found.per_s)
        if key not in lowest or found.remaining < lowest[key].remaining:
            lowest[key] = found
    if known.resets == "always":
        return tuple(lowest.values())
    return tuple(_plausible(found) for found in lowest.values())


def _read(table: Table, told: dict[str, str], date: datetime | None) -> Iterable[Remaining]:
    if table.special == "fields":
        return _fields(told.get("ratelimit"), told.get("ratelimit-policy"))
    return [found for row in table.rows if (found := _row(row, told, date))]


def _row(row: Row, told: dict[str, str], date: datetime | None) -> Remaining | None:
    left, limit = count(told.get(row.remaining)), count(told.get(row.limit))
    if left is None or (limit and left > limit):
        return None
    return Remaining(row.dimension, row.per_s, left, limit or None, seconds(told.get(row.reset), date))


def _fields(states: str | None, policies: str | None) -> Iterator[Remaining]:
    """IETF: `ratelimit: "api";r=999;t=295` is of the policy of the same name, which tells the window."""
    named = [(set(names), parameters) for names, parameters in items(policies)]
    for names, state in items(states):
        policy = next((parameters for known, parameters in named if known & set(names)), {})
        left, limit, window = count(state.get("r")), count(policy.get("q")), count(policy.get("w"))
        # Without a unit the quota is in requests.
        if left is None or not window or policy.get("qu", "requests") != "requests" or (limit and left > limit):
            continue
        yield Remaining("requests", float(window), left, limit or None, seconds(state.get("t"), None))


def _corrected(
    table: Table, found: Iterable[Remaining], told: dict[str, str], status: int | None
) -> Iterable[Remaining]:
    match table.special:
        case "day or minute":
            return [_day_or_minute(each) for each in found]
        case "total":
            return [_unrounded(each) for each in _total(list(found))]
        case "renewal":
            return [kept for each in found if (kept := _renewed(each, told, status))]
        case _:
            return found


def _day_or_minute(found: Remaining) -> Remaining:
    """OpenAI: the reset is when the steadily filling bucket is full, so reset × limit / used is the window.

    A minute's window is full again after a minute at the latest, whatever fills it.
    """
    if found.dimension != "requests" or not found.reset_s or not found.limit or found.remaining >= found.limit:
        return found
    days = found.reset_s * found.limit / (found.limit - found.remaining) / DAY
    of_a_day = found.reset_s > _LATE * MINUTE or 1 / _NEARLY < days < _NEARLY
    return replace(found, per_s=DAY) if of_a_day else found


def _total(found: list[Remaining]) -> list[Remaining]:
    """Anthropic: `tokens-*` is the most restrictive limit in effect, of input and output together as a rule.

    It is the total if its limit is the sum of theirs, or in the old form, which has only this. Otherwise it is a
    workspace's limit of a kind that is not told: left out.
    """
    split = [each.limit or 0 for each in found if each.dimension in {"input_tokens", "output_tokens"}]
    totals = [each.limit for each in found if each.dimension == "tokens"]
    if not split or totals == [sum(split)]:
        return found
    return [each for each in found if each.dimension != "tokens"]


def _unrounded(found: Remaining) -> Remaining:
    """Anthropic rounds the tokens that remain to thousands: up to so many more may be left. 0 is taken as it is."""
    if found.dimension == "requests" or not found.remaining or found.remaining % _ROUNDED_TO:
        return found
    most = found.remaining + _ROUNDED_TO - 1
    return replace(found, remaining=most if found.limit is None else min(most, found.limit))


def _renewed(found: Remaining, told: dict[str, str], status: int | None) -> Remaining | None:
    """Azure: the window may be told; zeros that come with an answer and without a limit mean "not told"."""
    if found.remaining == 0 and found.limit is None and status != 429:
        return None
    period = count(told.get(f"x-ratelimit-renewalperiod-{found.dimension}"))
    return replace(found, per_s=float(period)) if period else found


def _plausible(found: Remaining) -> Remaining:
    """A window cannot take longer to be full than it is long: Azure writes milliseconds as well as seconds."""
    late = found.reset_s is not None and found.reset_s > _LATE * found.per_s
    return replace(found, reset_s=None) if late else found


def add_limits(result: CallResult, table: str | None) -> None:
    """Put into a result what its headers tell by the backend's table: what remains, and when to come back.

    Of a refusal without `retry-after` the resets tell that. A used-up limit of a day makes it a matter of the day.
    """
    result.remaining = remaining(table, result.headers, result.status)
    day_s = _latest(each for each in result.remaining if each.per_s >= DAY and each.remaining == 0)
    if result.retry_after_s is None:
        if result.outcome in {Outcome.quota_day, Outcome.billing}:
            result.retry_after_s = day_s
        elif result.outcome is Outcome.throttled:
            pause_s = _pause_s(table, result) if day_s is None else day_s
            result.retry_after_s = None if pause_s is None else min(pause_s, LONGEST_PARK_S)
    if result.outcome is Outcome.throttled and (day_s is not None or (result.retry_after_s or 0) > LONGEST_PAUSE_S):
        result.outcome = Outcome.quota_day
        result.message = sentence(result.outcome, result.signature)


def _pause_s(table: str | None, result: CallResult) -> float | None:
    known = TABLES.get(table or "")
    if known is None or known.resets == "full":
        return None
    if table == "anthropic" and (pause_s := _unified_s(result.headers)) is not None:
        return pause_s
    return _latest(each for each in result.remaining if each.remaining == 0 or known.resets == "always")


def _latest(limits: Iterable[Remaining]) -> float | None:
    return max((each.reset_s for each in limits if each.reset_s is not None), default=None)


def _unified_s(headers: Headers) -> float | None:
    """Anthropic's subscriptions: the later reset of the windows that refuse."""
    date = http_date(header(headers, "date"))
    refusing = [
        seconds(header(headers, f"{_UNIFIED}{window}reset"), date)
        for window in ("", "5h-", "7d-")
        if header(headers, f"{_UNIFIED}{window}status") == "rejected"
    ]
    return max((reset for reset in refusing if reset is not None), default=None)
