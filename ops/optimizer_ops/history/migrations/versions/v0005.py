"""Tenants that were forgotten; a request that its agent took back is no error."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KEYS = ("tenant", "agent", "task", "backend", "model")
_LEVELS = (("hourly", "hour", 3_600), ("daily", "day", 86_400))


def upgrade() -> None:
    """Make the table, and take the cancelled requests out of the errors."""
    op.create_table(
        "forgotten",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    _count_cancelled("-")


def downgrade() -> None:
    """Back to what was."""
    _count_cancelled("+")
    op.drop_table("forgotten")


def _count_cancelled(sign: str) -> None:
    # Where the rows have gone nobody can tell any more.
    same = " AND ".join(f"r.{key} = s.{key}" for key in _KEYS)
    for table, begin, length_s in _LEVELS:
        of = f"r.outcome = 'cancelled' AND r.asked >= s.{begin} AND r.asked < s.{begin} + {length_s} AND {same}"
        op.execute(
            f"UPDATE {table} AS s SET errors = errors {sign} (SELECT count(*) FROM requests r WHERE {of}) "  # noqa: S608
            f"WHERE EXISTS (SELECT 1 FROM requests r WHERE {of})"
        )
