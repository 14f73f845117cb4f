"""Openings: trouble with a job's model on a class, and how far a leased shard's model is; an index on priorities."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import counted

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("shards", counted("opening"))
    op.create_table(
        "openings",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=False),
        counted("tries"),
        counted("deaths"),
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
