"""The history, read: sums by hour and day against the rows themselves, shares, percentiles, edges that have gone."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.history_rows import Batch, call_row, fill, request_row

from optimizer_ops.history import tables
from optimizer_ops.history.database import open_engine
from optimizer_ops.history.reader import History
from optimizer_ops.history.spans import span_of
from optimizer_ops.history.sums import DAY_S, HOUR_S, KEYS, bucket_of, ms_of
from optimizer_ops.history.views import Totals

BEGIN = 1_790_000_000 // DAY_S * DAY_S
END = BEGIN + 3 * DAY_S
# Few hours, beside midnights too: so the parts of a span have rows in them.
MOMENTS = st.builds(
    lambda hour, second: BEGIN + hour * HOUR_S + second,
    st.sampled_from([0, 1, 22, 23, 24, 47, 48, 71]),
    st.one_of(st.just(0.0), st.floats(0, HOUR_S, exclude_max=True), st.just(math.nextafter(HOUR_S, 0))),
)
NAMES = {
    "tenant": st.sampled_from(["shop", "press"]),
    "agent": st.sampled_from(["a", "b", "c"]),
    "task": st.sampled_from(["code", ""]),
    "backend": st.sampled_from(["groq", "local", ""]),
    "model": st.sampled_from(["m1", "m2"]),
}
NANOS = st.one_of(st.none(), st.integers(0, 10**12))
TOKENS = st.one_of(st.none(), st.integers(0, 10**9))
REQUESTS = st.builds(
    request_row,
    asked=MOMENTS,
    **NAMES,
    source=st.sampled_from([None, "cache", "collapsed", "backend"]),
    outcome=st.sampled_from(["answered", "answered", "open", "unknown", "deadline_exceeded"]),
    saved_nano=NANOS,
    total_ms=st.one_of(st.none(), st.floats(0, 1e7)),
)
CALLS = st.builds(
    call_row,
    started=MOMENTS,
    **NAMES,
    outcome=st.sampled_from([None, "answered", "answered", "throttled", "ramp", "transient"]),
    cost_nano=NANOS,
    input_tokens=TOKENS,
    output_tokens=TOKENS,
)
ROWS = st.builds(
    Batch, st.lists(REQUESTS, min_size=5, max_size=40), st.lists(CALLS, min_size=5, max_size=40), st.just([])
)
SPANS = st.tuples(MOMENTS, st.one_of(st.none(), MOMENTS))
slowly = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A database for all examples: making one costs more than emptying it."""
    return f"sqlite:///{tmp_path_factory.mktemp('history')}/history.db"


def history_of(url: str, batch: Batch, keep_since: float = 0.0) -> History:
    """A history of just these rows."""
    for kind, rows in (("r", batch.requests), ("c", batch.calls)):
        for number, row in enumerate(rows):
            row["id"] = f"{kind}{number}"
    engine = open_engine(url, create=True)
    if sa.inspect(engine).has_table("requests"):
        with engine.begin() as connection:
            for table in tables.metadata.sorted_tables:
                connection.execute(sa.delete(table))
    engine.dispose()
    fill(url, iter([batch]), keep_since=keep_since)
    return History.open(url)


def by_hand(batch: Batch, since: float, until: float | None) -> Counter[str]:
    """The sums of a span, counted without any of the code under test."""
    end = math.inf if until is None else until
    asked = [row for row in batch.requests if since <= row["asked"] < end]
    started = [row for row in batch.calls if since <= row["started"] < end]
    return Counter(
        requests=len(asked),
        hits=sum(row["source"] == "cache" for row in asked),
        collapsed=sum(row["source"] == "collapsed" for row in asked),
        answered=sum(row["outcome"] == "answered" for row in asked),
        errors=sum(row["outcome"] == "deadline_exceeded" for row in asked),
        saved=sum(row["saved_nano"] or 0 for row in asked),
        calls=len(started),
        calls_unknown=sum(row["outcome"] is None for row in started),
        throttled=sum(row["outcome"] in {"throttled", "ramp"} for row in started),
        unpriced=sum(row["outcome"] == "answered" and row["cost_nano"] is None for row in started),
        input_tokens=sum(row["input_tokens"] or 0 for row in started),
        output_tokens=sum(row["output_tokens"] or 0 for row in started),
        cost=sum(row["cost_nano"] or 0 for row in started),
    )


def told(totals: Totals) -> Counter[str]:
    """The same fields of what was read."""
    names = (
        *("requests", "hits", "collapsed", "answered", "errors", "calls", "calls_unknown", "throttled", "unpriced"),
        *("input_tokens", "output_tokens"),
    )
    money = {"cost": round(totals.cost_usd * 10**9), "saved": round(totals.saved_usd * 10**9)}
    return Counter({name: getattr(totals, name) for name in names} | money)


@slowly
@given(ROWS, SPANS)
def test_totals_of_any_span_are_those_of_its_rows(url, batch, span):
    """Whatever of a span comes from days, hours and single rows: the sums are those of its rows, exactly."""
    history = history_of(url, batch)
    try:
        since, until = span
        until = None if until is None else max(since, until)
        assert told(history.totals(since, until)) == by_hand(batch, since, until)
        for agent in ("a", "b"):
            own = Batch(
                [row for row in batch.requests if row["agent"] == agent],
                [row for row in batch.calls if row["agent"] == agent],
            )
            assert told(history.totals(since, until, agent=agent)) == by_hand(own, since, until)
    finally:
        history.close()


@slowly
@given(ROWS, SPANS, st.sampled_from(KEYS), st.sampled_from([HOUR_S / 4, HOUR_S, 6 * HOUR_S, DAY_S]))
def test_shares_and_steps_add_up_to_the_totals(url, batch, span, by, step_s):
    """The shares of each dimension are the totals, cut by name; the steps of a timeline are them, cut by time."""
    history = history_of(url, batch)
    try:
        since, until = span[0], None if span[1] is None else max(span)
        shares = history.shares(by, since, until)
        added = sum((told(each.totals) for each in shares), Counter())
        assert +added == +told(history.totals(since, until))
        assert [each.totals.cost_usd for each in shares] == sorted(
            (each.totals.cost_usd for each in shares), reverse=True
        )
        points = history.timeline(BEGIN, END, step_s=step_s)
        assert len(points) == 3 * DAY_S / step_s
        assert +sum((told(each.totals) for each in points), Counter()) == +by_hand(batch, BEGIN, END)
    finally:
        history.close()


@slowly
@given(ROWS.filter(lambda batch: batch.requests), SPANS)
def test_percentiles_are_within_five_percent(url, batch, span):
    """p50, p95 and p99 of answered requests are at most 5 % off above a millisecond, from sums and from rows alike."""
    history = history_of(url, batch)
    try:
        since, until = span[0], END if span[1] is None else max(span)
        totals = history.totals(since, until)
        pairs = history.totals(since, until, agent="a", task="code")
        for found, where in ((totals, {}), (pairs, {"agent": "a", "task": "code"})):
            took = sorted(
                row["total_ms"]
                for row in batch.requests
                if since <= row["asked"] < until
                and row["outcome"] == "answered"
                and row["total_ms"] is not None
                and all(row[name] == value for name, value in where.items())
            )
            for share, value in ((0.5, found.p50_ms), (0.95, found.p95_ms), (0.99, found.p99_ms)):
                if not took:
                    assert value is None
                    continue
                exact = took[max(0, math.ceil(share * len(took)) - 1)]
                assert value is not None
                assert abs(value - exact) <= max(0.05 * exact, 1.0)
    finally:
        history.close()


@slowly
@given(ROWS, SPANS)
def test_where_rows_have_gone_a_span_is_its_whole_hours(url, batch, span):
    """Without the rows of an edge the sums are of the whole hour, and `covered` says so."""
    gone = BEGIN + 2 * DAY_S
    history = history_of(url, batch, keep_since=gone)
    try:
        since, until = span[0], None if span[1] is None else max(span)
        covered = history.covered(since, until)
        assert covered.since <= since
        assert covered.until >= (math.inf if until is None else until)
        assert since - covered.since < HOUR_S
        end = None if math.isinf(covered.until) else covered.until
        assert told(history.totals(since, until)) == by_hand(batch, covered.since, end)
    finally:
        history.close()


@given(st.floats(1.0, 1e9))
def test_a_bucket_stands_for_its_durations(ms):
    """What a bucket is taken for is at most 5 % off each duration in it."""
    assert abs(ms_of(bucket_of(ms)) - ms) <= 0.05 * ms


@given(MOMENTS, st.one_of(st.none(), MOMENTS), st.booleans())
def test_a_span_is_cut_without_gaps(since, until, kept):
    """The parts of a span follow each other, overlap nowhere, and are whole days, whole hours and edges within one."""
    span = span_of(since, until, lambda _: kept)
    parts = sorted((*span.days, *span.hours, *span.edges))
    for (_, ends), (begins, _) in pairwise(parts):
        assert ends == begins
    if parts:
        assert (parts[0][0], parts[-1][1]) == (span.since, span.until)
    for begins, ends in span.days:
        assert begins % DAY_S == 0
        assert math.isinf(ends) or ends % DAY_S == 0
    if not kept:
        assert not span.edges
