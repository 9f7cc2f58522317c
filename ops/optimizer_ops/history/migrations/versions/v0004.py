"""Failed requests and happenings of a backend are found by an index alone; durations lie by name, and by source too."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_FAILED = sa.text("outcome NOT IN ('answered', 'open', 'unknown')")
_SEARCHED = ("asked", "agent", "backend", "outcome", "source", "task", "model", "tenant", "total_ms")
_LN_GROWTH = "0.09531017980432493"  # ln 1.1
_LEVELS = (("hourly_latency", "hour", 3_600), ("daily_latency", "day", 86_400))


def upgrade() -> None:
    """Make the indices, and count what rows there are."""
    op.drop_index("requests_failed", "requests")
    op.create_index("requests_failed", "requests", list(_SEARCHED), sqlite_where=_FAILED, postgresql_where=_FAILED)
    op.create_index("happenings_backend", "happenings", ["backend", "at"])
    bucket = f"CASE WHEN total_ms <= 1 THEN 0 ELSE CAST(ceil(ln(total_ms) / {_LN_GROWTH} - 1e-9) AS INTEGER) END"
    for table, begin, length_s in _LEVELS:
        if op.get_bind().dialect.name == "sqlite":
            _lay_together(table, begin)
        time = f"CAST(floor(asked / {length_s}) AS BIGINT) * {length_s}"
        op.execute(
            f'INSERT INTO {table} ("by", name, {begin}, bucket, requests) '  # noqa: S608 - our own names
            f"SELECT 'source', coalesce(source, ''), {time}, {bucket}, count(*) FROM requests "
            "WHERE outcome = 'answered' AND total_ms IS NOT NULL GROUP BY 2, 3, 4"
        )


def _lay_together(table: str, begin: str) -> None:
    """Rows of one name beside each other, in the order of the key: SQLite has no other way than a new table."""
    op.rename_table(table, "old_latency")
    op.create_table(
        table,
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(begin, sa.BigInteger(), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("by", "name", begin, "bucket"),
        sqlite_with_rowid=False,
    )
    op.execute(f'INSERT INTO {table} SELECT "by", name, {begin}, bucket, requests FROM old_latency ORDER BY 1, 2, 3, 4')  # noqa: S608
    op.drop_table("old_latency")


def downgrade() -> None:
    """Back to what was."""
    for table, _, _ in _LEVELS:
        op.execute(f"DELETE FROM {table} WHERE \"by\" = 'source'")  # noqa: S608 - our own names
    op.drop_index("happenings_backend", "happenings")
    op.drop_index("requests_failed", "requests")
    op.create_index("requests_failed", "requests", ["asked"], sqlite_where=_FAILED, postgresql_where=_FAILED)
