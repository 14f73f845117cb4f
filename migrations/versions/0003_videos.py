"""Videos: parts of them as items, their frames with timestamps, and how many frames there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTED = ("jobs", "shards")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("video", sa.Text()))
    op.add_column("items", sa.Column("start_s", sa.Double()))
    op.add_column("items", sa.Column("end_s", sa.Double()))
    op.add_column("outcomes", sa.Column("timestamp_s", sa.Double()))
    for table in _COUNTED:
        op.add_column(table, sa.Column("frames", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for table in _COUNTED:
        op.drop_column(table, "frames")
    op.drop_column("outcomes", "timestamp_s")
    op.drop_column("items", "end_s")
    op.drop_column("items", "start_s")
    op.drop_column("jobs", "video")
