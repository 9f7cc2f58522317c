"""The tables of the history. Times are Unix seconds, money is whole billionths of a US dollar, so that sums are exact.

`requests` has a row for each request, `calls` one for each upstream call, `happenings` one for each other event.
`hourly`, `daily` and their latencies add them up as they come, in the same transaction: they stay when the rows go.
"""

import sqlalchemy as sa

NANO = 1_000_000_000

metadata = sa.MetaData()
_OPEN = sa.text("outcome = 'open'")
# An index of some rows is found only by the same words. What was cancelled is in
# it too, which is no error (`sums.NO_ERROR`) and yet may be searched for.
FAILED = "outcome NOT IN ('answered', 'open', 'unknown')"
_FAILED = sa.text(FAILED)
_SEARCHED = ("asked", "agent", "backend", "outcome", "source", "task", "model", "tenant", "total_ms")

# One row a request. `flight` is its work id without the number of the dispatch: equal for all that shared a call.
# `source` is None until it is known where the answer came from; `outcome` is open, answered, an error code, or
# unknown: nothing was heard of it any more.
# `cost_nano` is what its own calls cost (those who led), `saved_nano` what a call would have cost (hit, collapsed).
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("asked", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("op", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.Text),
    sa.Column("flight", sa.Text),
    sa.Column("source", sa.Text),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("cached_input_tokens", sa.BigInteger),
    sa.Column("cache_write_tokens", sa.BigInteger),
    sa.Column("cost_nano", sa.BigInteger),
    sa.Column("saved_nano", sa.BigInteger),
    sa.Column("wait_ms", sa.Double),
    sa.Column("call_ms", sa.Double),
    sa.Column("total_ms", sa.Double),
    sa.Column("age_s", sa.Double),
    sa.Column("prompt_chars", sa.BigInteger),
    sa.Column("tags", sa.JSON(none_as_null=True)),
    # All that is searched for stands in one index: whatever does not fit is passed over without its row being read.
    sa.Index("requests_search", *_SEARCHED),
    sa.Index("requests_failed", *_SEARCHED, sqlite_where=_FAILED, postgresql_where=_FAILED),
    # Alerts judge what has ended lately, whenever it was asked.
    sa.Index("requests_ended", "ended"),
    sa.Index("requests_flight", "flight"),
    sa.Index("requests_open", "asked", sqlite_where=_OPEN, postgresql_where=_OPEN),
)

# One row an upstream call. `waited_ms` is how long it stood in its worker's line, `waited_for` what for, mostly.
# `outcome` is None while it runs, and for ever if its worker died: what it used is unknown.
calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("work_id", sa.Text),
    sa.Column("flight", sa.Text),
    sa.Column("fingerprint", sa.Text),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("op", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Column("outcome", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("error_code", sa.Text),
    sa.Column("error_signature", sa.Text),
    sa.Column("message", sa.Text),
    sa.Column("waiters", sa.Integer),
    sa.Column("waited_for", sa.Text),
    sa.Column("waited_ms", sa.Double),
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("cached_input_tokens", sa.BigInteger),
    sa.Column("cache_write_tokens", sa.BigInteger),
    sa.Column("reasoning_tokens", sa.BigInteger),
    sa.Column("usage", sa.JSON(none_as_null=True)),
    sa.Column("cost_nano", sa.BigInteger),
    sa.Column("price_version", sa.Text),
    sa.Column("wait_ms", sa.Double),
    sa.Column("call_ms", sa.Double),
    sa.Column("total_ms", sa.Double),
    sa.Column("prompt_chars", sa.BigInteger),
    sa.Index("calls_search", "started", "agent", "backend", "outcome", "task", "model", "tenant"),
    sa.Index("calls_request", "request_id"),
    sa.Index("calls_flight", "flight"),
)

# Every other event: errors, retries, limits, breakers, quotas, dead letters, workers, alerts.
happenings = sa.Table(
    "happenings",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text),
    sa.Column("flight", sa.Text),
    sa.Column("call_id", sa.Text),
    sa.Column("tenant", sa.Text),
    sa.Column("agent", sa.Text),
    sa.Column("backend", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("outcome", sa.Text),
    sa.Column("error_code", sa.Text),
    sa.Column("retry_after_s", sa.Double),
    sa.Column("waiters", sa.Integer),
    sa.Column("message", sa.Text),
    sa.Index("happenings_at", "at"),
    sa.Index("happenings_type", "type", "at"),
    sa.Index("happenings_backend", "backend", "at"),
    sa.Index("happenings_request", "request_id"),
    sa.Index("happenings_flight", "flight"),
)

# Sums by hour and by day of UTC (`hour`, `day`: the Unix second in which it begins) of whatever a request or a call can
# be asked by. What is not known or does not apply is the empty text: a key column must not be NULL.
_SUMS = (
    "requests",
    "hits",
    "collapsed",
    "answered",
    "errors",
    "calls",
    "calls_answered",
    "calls_failed",
    "throttled",
    "unpriced",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nano",
    "saved_nano",
    "saved_unpriced",
)


def _sums(name: str, begin: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column(begin, sa.BigInteger, primary_key=True),
        *(sa.Column(key, sa.Text, primary_key=True) for key in ("tenant", "agent", "task", "backend", "model")),
        *(sa.Column(each, sa.BigInteger, nullable=False, server_default="0") for each in _SUMS),
        sa.Column("call_ms", sa.Double, nullable=False, server_default="0"),
    )


hourly = _sums("hourly", "hour")
daily = _sums("daily", "day")

# How many answered requests took how long in all, by hour and day: of all (`by` and `name` empty), and of each name of
# each of the keys of `hourly`, and of `source`, alone. Buckets as in `sums.py`. A column for each key would be as many
# rows as requests.


def _latencies(name: str, begin: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("by", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column(begin, sa.BigInteger, primary_key=True),
        sa.Column("bucket", sa.Integer, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        # Rows of one name lie together: a month of them is a few pages, not one from each page of the table.
        sqlite_with_rowid=False,
    )


hourly_latency = _latencies("hourly_latency", "hour")
daily_latency = _latencies("daily_latency", "day")

# Every agent ever seen. Sums are in `hourly`.
agents = sa.Table(
    "agents",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("agent", sa.Text, primary_key=True),
    sa.Column("first_seen", sa.Double, nullable=False),
    sa.Column("last_seen", sa.Double, nullable=False),
    sa.Column("last_error", sa.Double),
    sa.Column("last_error_code", sa.Text),
)

# What of each source's numbered events has arrived. `gaps` are those that are missing between the first and the last,
# as [first, last, since when, counted]; `lost` is how many have been missing for so long that they will not come any
# more. `unsettled`: some of the gaps are younger than that.
sources = sa.Table(
    "sources",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("first_seq", sa.BigInteger, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
    sa.Column("gaps", sa.JSON, nullable=False),
    sa.Column("unsettled", sa.Boolean, nullable=False),
    sa.Column("first_seen", sa.Double, nullable=False),
    sa.Column("last_seen", sa.Double, nullable=False),
)

# One row: the recorder that writes, when it last wrote, how many events wait in its queue, and how many it has recorded
# and missed since the history began (those of sources that are forgotten by now too).
recorder = sa.Table(
    "recorder",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("instance", sa.Text, nullable=False),
    sa.Column("beat", sa.Double, nullable=False),
    sa.Column("newest", sa.Double),
    sa.Column("recorded", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
    sa.Column("waiting", sa.BigInteger, nullable=False),
)

# What is or was wrong. `until` is None while it lasts. Of one name and subject at most one is open.
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("severity", sa.Text, nullable=False),
    sa.Column("since", sa.Double, nullable=False),
    sa.Column("until", sa.Double),
    sa.Column("value", sa.Double),
    sa.Column("threshold", sa.Double),
    sa.Column("message", sa.Text, nullable=False),
    sa.Index("alerts_since", "since"),
)

# What is to be told of an alert, by each way of telling (`sink`): it goes out at `due` at the earliest, with everything
# else that is due there then. `sent` is None until it has gone; with `given_up` it never will. `what` is raised,
# escalated, still or cleared; `alert` is the alert as it was then.
notices = sa.Table(
    "notices",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("alert_id", sa.Text, nullable=False),
    sa.Column("sink", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("due", sa.Double, nullable=False),
    sa.Column("alert", sa.JSON, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("trouble", sa.Text),
    sa.Column("sent", sa.Double),
    sa.Column("given_up", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("notices_alert", "alert_id"),
    sa.Index("notices_at", "at"),
)

# Alerts that nobody is to be told of until then; they are still recorded.
silences = sa.Table(
    "silences",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("until", sa.Double, nullable=False),
)

# Tenants that were forgotten, and until when: what is recorded later of the time before gets no name. The name itself
# goes with the rows of that time (`[history] keep_days`).
forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("until", sa.Double, nullable=False),
)

# Of several recorders one watches and tells at a time: `holder`, until then.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.Double, nullable=False),
)
