"""Sums by day, saved answers without a price, and indices by which whatever is searched for is found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KEYS = ("tenant", "agent", "task", "backend", "model")
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
_DAY = "hour - hour % 86400"
_FAILED = sa.text("outcome NOT IN ('answered', 'open', 'unknown')")
_OF_REQUESTS = ("asked", "agent", "backend", "outcome", "source", "task", "model", "tenant", "total_ms")
_OF_CALLS = ("started", "agent", "backend", "outcome", "task", "model", "tenant")


def upgrade() -> None:
    """Make the tables, fill them from the sums by hour, and change the indices."""
    op.add_column("hourly", sa.Column("saved_unpriced", sa.BigInteger(), nullable=False, server_default="0"))
    same = " AND ".join(f"r.{key} = hourly.{key}" for key in _KEYS)
    op.execute(
        "UPDATE hourly SET saved_unpriced = (SELECT count(*) FROM requests r WHERE r.outcome = 'answered' "  # noqa: S608
        "AND r.source IN ('cache', 'collapsed') AND r.saved_nano IS NULL "
        f"AND r.asked >= hourly.hour AND r.asked < hourly.hour + 3600 AND {same})"
    )
    op.create_table(
        "daily",
        sa.Column("day", sa.BigInteger(), nullable=False),
        *(sa.Column(key, sa.Text(), nullable=False) for key in _KEYS),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _SUMS),
        sa.Column("call_ms", sa.Double(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("day", *_KEYS),
    )
    keys, sums = ", ".join(_KEYS), (*_SUMS, "call_ms")
    op.execute(
        f"INSERT INTO daily (day, {keys}, {', '.join(sums)}) "  # noqa: S608 - our own names
        f"SELECT {_DAY}, {keys}, {', '.join(f'sum({name})' for name in sums)} FROM hourly GROUP BY {_DAY}, {keys}"
    )
    op.create_table(
        "daily_latency",
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("by", "name", "day", "bucket"),
    )
    op.execute(
        'INSERT INTO daily_latency ("by", name, day, bucket, requests) '  # noqa: S608 - our own names
        f'SELECT "by", name, {_DAY}, bucket, sum(requests) FROM hourly_latency GROUP BY "by", name, {_DAY}, bucket'
    )
    for name, table in _OLD:
        op.drop_index(name, table)
    op.create_index("requests_search", "requests", list(_OF_REQUESTS))
    op.create_index("requests_failed", "requests", ["asked"], sqlite_where=_FAILED, postgresql_where=_FAILED)
    op.create_index("calls_search", "calls", list(_OF_CALLS))


_OLD = (
    ("requests_asked", "requests"),
    ("requests_agent", "requests"),
    ("calls_started", "calls"),
    ("calls_backend", "calls"),
)


def downgrade() -> None:
    """Back to sums by hour alone."""
    for name, table in (("requests_search", "requests"), ("requests_failed", "requests"), ("calls_search", "calls")):
        op.drop_index(name, table)
    op.create_index("requests_asked", "requests", ["asked"])
    op.create_index("requests_agent", "requests", ["agent", "asked"])
    op.create_index("calls_started", "calls", ["started"])
    op.create_index("calls_backend", "calls", ["backend", "started"])
    op.drop_table("daily_latency")
    op.drop_table("daily")
    op.drop_column("hourly", "saved_unpriced")
