"""Videos: parts of them as items, their frames with timestamps, and how many frames there are."""

from __future__ import annotations

import sqlalchemy as sa

from migrations.columns import Columns, add, counted, drop

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add(_columns())


def downgrade() -> None:
    drop(_columns())


def _columns() -> Columns:
    return {
        "jobs": (sa.Column("video", sa.Text()), counted("frames")),
        "shards": (counted("frames"),),
        "items": (sa.Column("start_s", sa.Double()), sa.Column("end_s", sa.Double())),
        "outcomes": (sa.Column("timestamp_s", sa.Double()),),
    }
