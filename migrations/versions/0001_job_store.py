"""The job store's first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.columns import counted

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NOT_NEGATIVE = "ok >= 0 AND cached >= 0 AND failed >= 0 AND skipped >= 0 AND objects >= 0"


def upgrade() -> None:
    _create_jobs()
    _create_items()
    _create_shards()
    _create_outcomes()
    _create_decisions()
    _create_workers()
    _create_job_events()


def downgrade() -> None:
    for table in ("job_events", "workers", "decisions", "outcomes", "shards", "items", "jobs"):
        op.drop_table(table)


def _counters() -> list[sa.Column[object]]:
    return [counted(name) for name in ("ok", "cached", "failed", "skipped", "objects")]


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("client_token", sa.Text()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.Text()),
        sa.Column("task", sa.Text()),
        sa.Column("class_names", sa.Text()),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("wishes", sa.Text(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("max_failure_rate", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("shards_left", sa.Integer(), nullable=False),
        *_counters(),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("started", sa.Double()),
        sa.Column("finished", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("tenant", "client_token", name="uq_jobs_tenant_client_token"),
        sa.CheckConstraint(_NOT_NEGATIVE, name=op.f("ck_jobs_counters_not_negative")),
        sa.CheckConstraint("ok + cached + failed + skipped <= total", name=op.f("ck_jobs_books")),
        sa.CheckConstraint("shards_left >= 0", name=op.f("ck_jobs_shards_left_not_negative")),
    )
    op.create_index("ix_jobs_tenant_created", "jobs", ["tenant", "created"])
    op.create_index("ix_jobs_state_created", "jobs", ["state", "created"])


def _create_items() -> None:
    op.create_table(
        "items",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text()),
        sa.PrimaryKeyConstraint("job_id", "idx", name="pk_items"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_items_job_id"),
    )


def _create_shards() -> None:
    op.create_table(
        "shards",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("first_idx", sa.Integer(), nullable=False),
        sa.Column("last_idx", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"),
        counted("deaths"),
        sa.Column("owner", sa.Text()),
        sa.Column("lease_until", sa.Double()),
        sa.Column("enqueued_at", sa.Double()),
        sa.Column("created", sa.Double(), nullable=False),
        *_counters(),
        sa.PrimaryKeyConstraint("id", name="pk_shards"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_shards_job_id"),
        sa.UniqueConstraint("job_id", "seq", name="uq_shards_job_id_seq"),
        sa.CheckConstraint(_NOT_NEGATIVE, name=op.f("ck_shards_counters_not_negative")),
        sa.CheckConstraint("ok + cached + failed + skipped <= size", name=op.f("ck_shards_books")),
        sa.CheckConstraint("first_idx <= last_idx AND size > 0", name=op.f("ck_shards_range")),
    )
    op.create_index("ix_shards_state_queue", "shards", ["state", "hardware", "queue", "job_id"])
    op.create_index("ix_shards_job_state", "shards", ["job_id", "state", "seq"])


def _create_outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        counted("frame"),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("record", sa.Text()),
        sa.Column("blob", sa.LargeBinary()),
        sa.Column("error_code", sa.Text()),
        sa.Column("error_message", sa.Text()),
        sa.Column("timings_ms", sa.Text()),
        sa.Column("decision_id", sa.Text()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "idx", "frame", name="pk_outcomes"),
        sa.ForeignKeyConstraint(["job_id", "idx"], ["items.job_id", "items.idx"], name="fk_outcomes_job_id_idx"),
    )


def _create_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("package_id", sa.Text(), nullable=False),
        sa.Column("package_digest", sa.Text(), nullable=False),
        sa.Column("backend", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("quantization", sa.Text(), nullable=False),
        sa.Column("max_batch_size", sa.Integer(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("class_names", sa.Text(), nullable=False),
        sa.Column("candidates", sa.Text(), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("load_ms", sa.Double(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_decisions_job_id"),
    )
    op.create_index("ix_decisions_job_id_created", "decisions", ["job_id", "created"])


def _create_workers() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("hardware", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("models", sa.Text(), nullable=False),
        sa.Column("items_per_second", sa.Double(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("heartbeat", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_index("ix_workers_heartbeat", "workers", ["heartbeat"])


def _create_job_events() -> None:
    op.create_table(
        "job_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job_events"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_job_events_job_id"),
    )
    op.create_index("ix_job_events_job_id_created", "job_events", ["job_id", "created"])
