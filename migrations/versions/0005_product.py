"""What people touch: results by content, schedules, verdicts, webhooks, tokens, exports."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.columns import add, counted, drop

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = (
    "draft_parts",
    "drafts",
    "exports",
    "tokens",
    "webhook_deliveries",
    "gate_verdicts",
    "schedule_runs",
    "schedules",
    "result_cache",
)


def upgrade() -> None:
    add(_columns())
    op.create_index("ix_jobs_schedule_id_created", "jobs", ["schedule_id", "created"])
    failed = sa.text("state = 'failed'")
    op.create_index(
        "ix_outcomes_failed",
        "outcomes",
        ["job_id", "error_code", "idx", "frame"],
        postgresql_where=failed,
        sqlite_where=failed,
    )
    _create_result_cache()
    _create_drafts()
    _create_schedules()
    _create_schedule_runs()
    _create_gate_verdicts()
    _create_webhook_deliveries()
    _create_tokens()
    _create_exports()


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    op.drop_index("ix_outcomes_failed", table_name="outcomes")
    op.drop_index("ix_jobs_schedule_id_created", table_name="jobs")
    drop(_columns())


def _text(name: str, *, is_needed: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=not is_needed)


def _time(name: str, *, is_needed: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=not is_needed)


def _needed(*names: str) -> list[sa.Column[str]]:
    return [_text(name, is_needed=True) for name in names]


def _columns() -> dict[str, tuple[sa.Column[Any], ...]]:
    return {
        "jobs": (
            _text("request_hash"),
            sa.Column("use_cache", sa.Integer(), nullable=False, server_default="1"),
            _text("schedule_id"),
            _text("webhooks"),
            _text("output"),
            _text("gates"),
        ),
        "shards": (sa.Column("deaths_alone", sa.Integer(), nullable=False, server_default="0"),),
        "outcomes": (_text("content"),),
    }


def _create_result_cache() -> None:
    op.create_table(
        "result_cache",
        *_needed("key", "record"),
        sa.Column("blob", sa.LargeBinary()),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        _time("created", is_needed=True),
        _time("used", is_needed=True),
        sa.PrimaryKeyConstraint("key", name="pk_result_cache"),
    )
    op.create_index("ix_result_cache_used", "result_cache", ["used"])


def _create_drafts() -> None:
    op.create_table(
        "drafts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("shard_size", sa.Integer()),
        sa.Column("canary_items", sa.Integer()),
        counted("clips"),
        sa.Column("touched", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_drafts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_drafts_job_id"),
    )
    op.create_table(
        "draft_parts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("items", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "token", name="pk_draft_parts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_draft_parts_job_id"),
    )


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        *_needed("id", "tenant", "name", "job", "cron", "timezone", "catch_up", "overlap", "state"),
        _text("webhooks"),
        _time("next_at"),
        _time("created", is_needed=True),
        _time("updated", is_needed=True),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
        sa.UniqueConstraint("tenant", "name", name="uq_schedules_tenant_name"),
    )
    op.create_index("ix_schedules_state_next_at", "schedules", ["state", "next_at"])


def _create_schedule_runs() -> None:
    op.create_table(
        "schedule_runs",
        _text("schedule_id", is_needed=True),
        _time("due", is_needed=True),
        _text("state", is_needed=True),
        _text("job_id"),
        _text("message"),
        _text("owner"),
        _time("claimed_until"),
        counted("tries"),
        _time("created", is_needed=True),
        sa.PrimaryKeyConstraint("schedule_id", "due", name="pk_schedule_runs"),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedules.id"], name="fk_schedule_runs_schedule_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_schedule_runs_state", "schedule_runs", ["state", "claimed_until"])


def _create_gate_verdicts() -> None:
    op.create_table(
        "gate_verdicts",
        *_needed("job_id", "state"),
        counted("tries"),
        _text("owner"),
        _time("lease_until"),
        *(_text(name) for name in ("figures", "report", "message")),
        _time("created", is_needed=True),
        _time("judged"),
        sa.PrimaryKeyConstraint("job_id", name="pk_gate_verdicts"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_gate_verdicts_job_id"),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_gate_verdicts_tries_not_negative")),
    )
    op.create_index("ix_gate_verdicts_state_lease_until", "gate_verdicts", ["state", "lease_until"])


def _create_webhook_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        *_needed("id", "tenant"),
        _text("job_id"),
        _text("url", is_needed=True),
        _text("secret_env"),
        *_needed("event", "body", "state"),
        counted("tries"),
        _time("next_at", is_needed=True),
        sa.Column("last_status", sa.Integer()),
        _text("last_error"),
        _time("created", is_needed=True),
        _time("delivered"),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_state_next_at", "webhook_deliveries", ["state", "next_at"])
    op.create_index("ix_webhook_deliveries_job_id_created", "webhook_deliveries", ["job_id", "created"])


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        *_needed("id", "tenant", "name", "role", "hash"),
        _time("created", is_needed=True),
        _time("expires"),
        _time("last_used"),
        _time("revoked"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
        sa.UniqueConstraint("tenant", "name", name="uq_tokens_tenant_name"),
    )


def _create_exports() -> None:
    op.create_table(
        "exports",
        *_needed("id", "tenant", "job_id", "formats", "options", "dest", "state"),
        counted("tries"),
        _text("owner"),
        _time("lease_until"),
        _text("summary"),
        _text("message"),
        _time("created", is_needed=True),
        _time("finished"),
        sa.PrimaryKeyConstraint("id", name="pk_exports"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_exports_job_id"),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_exports_tries_not_negative")),
    )
    op.create_index("ix_exports_state_lease_until", "exports", ["state", "lease_until"])
    op.create_index("ix_exports_job_id_created", "exports", ["job_id", "created"])
