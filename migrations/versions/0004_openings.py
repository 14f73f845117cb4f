"""Openings: trouble with a job's model on a class, and how far a leased shard's model is; an index on priorities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shards", sa.Column("opening", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "openings",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("owner", sa.Text()),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("next_try", sa.Double()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_openings_job_id")),
        sa.PrimaryKeyConstraint("job_id", "hardware", name=op.f("pk_openings")),
    )
    op.create_index(op.f("ix_openings_next_try"), "openings", ["next_try"])
    op.create_index(op.f("ix_jobs_state_priority"), "jobs", ["state", "priority"])


def downgrade() -> None:
    op.drop_index(op.f("ix_jobs_state_priority"), table_name="jobs")
    op.drop_table("openings")
    op.drop_column("shards", "opening")
