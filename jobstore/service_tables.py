"""Tables around the work itself: results to take over, schedules, verdicts, webhooks, tokens, exports."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from jobstore.tables import metadata

#: Complete only where this module is imported: `jobstore.schema_version` does.
__all__ = [
    "draft_parts",
    "drafts",
    "exports",
    "gate_verdicts",
    "metadata",
    "result_cache",
    "schedule_runs",
    "schedules",
    "tokens",
    "webhook_deliveries",
]

# Predictions by content: what an item with the same bytes, package and parameters takes over.
result_cache = Table(
    "result_cache",
    metadata,
    Column("key", Text, primary_key=True),  # sha256 of tenant, content, package digest and parameters
    Column("record", Text, nullable=False),  # JSON
    Column("blob", LargeBinary),
    Column("size_bytes", Integer, nullable=False),  # of record and blob
    Column("created", Double, nullable=False),
    Column("used", Double, nullable=False),  # the least recently used go first
    Index("ix_result_cache_used", "used"),
)

# What a job that is not sealed yet was asked for beside its row; the row goes when it is sealed.
drafts = Table(
    "drafts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("shard_size", Integer),
    Column("canary_items", Integer),
    Column("clips", Integer, nullable=False, server_default="0"),  # items that are videos or parts of them
    Column("touched", Double, nullable=False),  # who leaves it alone for too long has given it up
)

# One row for each part of items that was appended: a part that comes twice is written once.
draft_parts = Table(
    "draft_parts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("token", Text, nullable=False),
    Column("items", Integer, nullable=False),
    PrimaryKeyConstraint("job_id", "token"),
)

# Jobs that come back by the clock.
schedules = Table(
    "schedules",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("job", Text, nullable=False),  # JSON: the job file
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False),  # IANA name
    Column("catch_up", Text, nullable=False),  # what happens to missed times: none, last, all
    Column("overlap", Text, nullable=False),  # while the last run still works: skip, queue, allow
    Column("webhooks", Text),  # JSON: who is told of missed times
    Column("state", Text, nullable=False),  # active, paused
    Column("next_at", Double),  # none: it is paused, or never comes again
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    UniqueConstraint("tenant", "name"),
    Index("ix_schedules_state_next_at", "state", "next_at"),
)

# One row for each time that a schedule was due: its key makes a run happen once, whoever saw it first.
schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("schedule_id", Text, ForeignKey("schedules.id", ondelete="CASCADE"), nullable=False),
    Column("due", Double, nullable=False),
    Column("state", Text, nullable=False),  # due, claimed, submitted, skipped, missed, failed
    Column("job_id", Text),
    Column("message", Text),
    Column("owner", Text),  # who submits it
    Column("claimed_until", Double),  # then somebody else does
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("created", Double, nullable=False),
    PrimaryKeyConstraint("schedule_id", "due"),
    Index("ix_schedule_runs_state", "state", "claimed_until"),
)

# How jobs with gates compare with the runs before them; any relay judges.
gate_verdicts = Table(
    "gate_verdicts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("state", Text, nullable=False),  # pending, passed, failed, accepted, broken
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("owner", Text),
    Column("lease_until", Double),
    Column("figures", Text),  # JSON: what the run came to, so that later ones need not read its results
    Column("report", Text),  # JSON: each gate with its finding
    Column("message", Text),  # why nobody could judge it
    Column("created", Double, nullable=False),
    Column("judged", Double),
    CheckConstraint("tries >= 0", name="tries_not_negative"),
    Index("ix_gate_verdicts_state_lease_until", "state", "lease_until"),
)

# The outbox of webhooks: written with what it tells of, sent by any relay.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7; the receiver's `webhook-id`
    Column("tenant", Text, nullable=False),
    Column("job_id", Text),
    Column("url", Text, nullable=False),
    Column("secret_env", Text),  # variable of the sender's environment that holds the signing secret
    Column("event", Text, nullable=False),  # job.started ...
    Column("body", Text, nullable=False),  # JSON
    Column("state", Text, nullable=False),  # pending, delivered, given_up
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_at", Double, nullable=False),
    Column("last_status", Integer),  # of the last answer
    Column("last_error", Text),
    Column("created", Double, nullable=False),
    Column("delivered", Double),
    Index("ix_webhook_deliveries_state_next_at", "state", "next_at"),
    Index("ix_webhook_deliveries_job_id_created", "job_id", "created"),
)

# What one process of the fleet does at a time, now and then.
chores = Table(
    "chores",
    metadata,
    Column("name", Text, primary_key=True),
    Column("taken_until", Double, nullable=False),  # then it is anybody's again
)

# Who may ask the HTTP interface. The token itself is shown once and stored nowhere.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),  # reader, submitter, operator, admin
    Column("hash", Text, nullable=False),  # sha256 of the token, in hexadecimal digits
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("last_used", Double),
    Column("revoked", Double),
    UniqueConstraint("hash"),
    UniqueConstraint("tenant", "name"),
)

# Exports that somebody asked a server for, or that a job writes when it ends; any relay makes them.
exports = Table(
    "exports",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("tenant", Text, nullable=False),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("formats", Text, nullable=False),  # JSON
    Column("options", Text, nullable=False),  # JSON
    Column("dest", Text, nullable=False),  # a folder, s3://, or shelf: and a server's folder
    Column("state", Text, nullable=False),  # pending, running, done, failed
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("owner", Text),
    Column("lease_until", Double),
    Column("summary", Text),  # JSON: what was written
    Column("message", Text),  # why it failed
    Column("created", Double, nullable=False),
    Column("finished", Double),
    CheckConstraint("tries >= 0", name="tries_not_negative"),
    Index("ix_exports_state_lease_until", "state", "lease_until"),
    Index("ix_exports_job_id_created", "job_id", "created"),
)
