"""What a fleet needs: canaries, error policy, refused classes, learned batches, speeds, quarantine, tenants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import Columns, add, counted, drop

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("tenants", "quarantined_messages", "queue_speeds", "learned_batches", "class_refusals")


def upgrade() -> None:
    add(_columns())
    op.create_index("ix_jobs_state_expires", "jobs", ["state", "expires"])
    _create_class_refusals()
    _create_learned_batches()
    _create_queue_speeds()
    _create_quarantined_messages()
    _create_tenants()


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    op.drop_index("ix_jobs_state_expires", table_name="jobs")
    drop(_columns())


def _columns() -> Columns:
    return {
        "jobs": (
            sa.Column("max_failures", sa.Integer()),
            counted("canary_items"),
            sa.Column("deadline", sa.Double()),
            sa.Column("expires", sa.Double()),
            counted("forgiven"),
        ),
        "shards": (sa.Column("leased_at", sa.Double()), counted("offers"), sa.Column("ended", sa.Double())),
        "outcomes": (sa.Column("tries", sa.Integer(), nullable=False, server_default="1"),),
        "workers": (
            sa.Column("serves", sa.Text(), nullable=False, server_default="[]"),
            counted("active"),
            sa.Column("memory_bytes", sa.BigInteger()),
            sa.Column("stats", sa.Text(), nullable=False, server_default="{}"),
            counted("drain"),
        ),
    }


def _create_class_refusals() -> None:
    op.create_table(
        "class_refusals",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "hardware", name="pk_class_refusals"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_class_refusals_job_id"),
    )


def _create_learned_batches() -> None:
    op.create_table(
        "learned_batches",
        sa.Column("package_digest", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("quantization", sa.Text(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=False),
        sa.Column("max_batch_size", sa.Integer(), nullable=False),
        sa.Column("learned", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("package_digest", "backend", "quantization", "hardware", name="pk_learned_batches"),
        sa.CheckConstraint("max_batch_size > 0", name="positive"),
    )


def _create_queue_speeds() -> None:
    op.create_table(
        "queue_speeds",
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("seconds_per_item", sa.Double(), nullable=False),
        sa.Column("measured", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("queue", name="pk_queue_speeds"),
        sa.CheckConstraint("seconds_per_item > 0", name="positive"),
    )


def _create_quarantined_messages() -> None:
    op.create_table(
        "quarantined_messages",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantined_messages"),
    )
    op.create_index("ix_quarantined_messages_created", "quarantined_messages", ["created"])


def _create_tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False, server_default="1"),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tenants"),
        sa.CheckConstraint("weight > 0", name="positive"),
    )
