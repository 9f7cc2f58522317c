"""What a row adds to the sums of its hour and day: one definition, for who writes sums and for who reads rows. Pure.

A request belongs to the hour in which it was asked, a call to the hour in which it started. A row that changes is taken
out as it was and put in as it is, so that the sums always equal those of the rows.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

HOUR_S = 3_600
DAY_S = 86_400

# DDSketch (Masson, Rim, Lee 2019, section 2.1): with buckets (g^(n-1), g^n] and the value 2·g^n/(g+1) for each, a
# percentile is at most (g-1)/(g+1) off: 4.8 %. Up to 1 ms all is one bucket.
GROWTH = 1.1
_LOG_GROWTH = math.log(GROWTH)

KEYS = ("tenant", "agent", "task", "backend", "model")
# Of what durations are counted by hour beside all of them: a search for the slowest may name where answers came from.
SLOWEST_BY = (*KEYS, "source")
TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
# The call outcomes by which a backend says "too fast"; as `Outcome.rate_only`.
RATE_ONLY = ("throttled", "ramp")
# Where the answers of requests come from that needed no call of their own.
SAVED = ("cache", "collapsed")
# What a request's outcome is if it did not end with an error, as far as anybody knows. One that its own agent took
# back, or that was forgotten with its tenant, is neither answered nor an error.
NO_ERROR = ("answered", "open", "unknown", "cancelled")

Row = Mapping[str, Any]
HourKey = tuple[Any, ...]
LatencyKey = tuple[int, str, str, int]


def hour_of(at: float) -> int:
    """The Unix second in which the hour of a moment begins."""
    return int(at // HOUR_S) * HOUR_S


def day_of(at: float) -> int:
    """The Unix second in which the day of a moment begins, by UTC."""
    return int(at // DAY_S) * DAY_S


def bucket_of(ms: float) -> int:
    """The bucket of a duration."""
    return 0 if ms <= 1 else math.ceil(math.log(ms) / _LOG_GROWTH - 1e-9)


def ms_of(bucket: int) -> float:
    """The duration that stands for all of a bucket, in milliseconds; at most 5 % off above 1 ms."""
    return 2 * float(GROWTH**bucket) / (GROWTH + 1) if bucket else 1.0


def of_request(row: Row) -> dict[str, int]:
    """What a row of `requests` adds to the row of `hourly` with its hour (of `asked`) and its `KEYS`."""
    outcome = row["outcome"]
    return {
        "requests": 1,
        "hits": int(row["source"] == "cache"),
        "collapsed": int(row["source"] == "collapsed"),
        "answered": int(outcome == "answered"),
        "errors": int(outcome not in NO_ERROR),
        "saved_nano": row["saved_nano"] or 0,
        "saved_unpriced": int(outcome == "answered" and row["source"] in SAVED and row["saved_nano"] is None),
    }


def of_call(row: Row) -> dict[str, float]:
    """What a row of `calls` adds to the row of `hourly` with its hour (of `started`) and its `KEYS`.

    Unpriced is a call that gave an answer and whose price nobody knows.
    """
    outcome = row["outcome"]
    return {
        "calls": 1,
        "calls_answered": int(outcome == "answered"),
        "calls_failed": int(outcome not in (None, "answered")),
        "throttled": int(outcome in RATE_ONLY),
        "unpriced": int(outcome == "answered" and row["cost_nano"] is None),
        **{name: row[name] or 0 for name in (*TOKENS, "cost_nano")},
        "call_ms": row["call_ms"] or 0.0,
    }


def latencies_of(row: Row) -> Iterator[LatencyKey]:
    """The keys (hour, by, name, bucket) of `hourly_latency` under which a row of `requests` counts 1.

    Answered requests alone: how soon a fleet refuses says nothing of how soon it answers.
    """
    if row["outcome"] == "answered" and row["total_ms"] is not None:
        hour, bucket = hour_of(row["asked"]), bucket_of(row["total_ms"])
        yield hour, "", "", bucket
        for by in SLOWEST_BY:
            yield hour, by, row[by] or "", bucket


def by_day(sums: Mapping[HourKey, Mapping[str, float]]) -> dict[HourKey, Counter[str]]:
    """Sums by hour and `KEYS`, added up by day."""
    days: defaultdict[HourKey, Counter[str]] = defaultdict(Counter)
    for (hour, *names), added in sums.items():
        days[day_of(hour), *names].update(added)
    return days


def latencies_by_day(counts: Mapping[LatencyKey, int]) -> Counter[LatencyKey]:
    """Numbers of requests by hour, by, name and bucket, added up by day."""
    days: Counter[LatencyKey] = Counter()
    for (hour, *names), count in counts.items():
        days[day_of(hour), *names] += count  # type: ignore[index]
    return days
