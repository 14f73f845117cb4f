"""Every table. Alembic's migrations are held equal to this metadata by a test.

Times are DOUBLE seconds since the epoch by the database's clock. JSON is text that msgspec wrote: the same on SQLite
and PostgreSQL, and on the latter half as expensive as JSONB. Ranges of items are closed: `first_idx` and `last_idx`
both belong to it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

#: Alembic revision that makes exactly these tables.
SCHEMA_VERSION = "0007"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _counters() -> list[Column[int]]:
    names = ("ok", "cached", "failed", "skipped", "objects", "frames")
    return [Column(name, Integer, nullable=False, server_default="0") for name in names]


#: Of `outcomes`. A literal, since neither database takes a partial index where the state is a bound parameter.
IS_FAILED = text("state = 'failed'")
_NOT_NEGATIVE = "ok >= 0 AND cached >= 0 AND failed >= 0 AND skipped >= 0 AND objects >= 0"

jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("tenant", Text, nullable=False),
    Column("client_token", Text),  # a second submit with it returns this job
    Column("name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("model_digest", Text),  # from the first decision
    Column("task", Text),  # from the first decision
    Column("class_names", Text),  # JSON, from the first decision
    Column("params", Text, nullable=False),  # JSON
    Column("wishes", Text, nullable=False),  # JSON
    Column("hardware", Text, nullable=False),  # JSON
    Column("tags", Text, nullable=False),  # JSON
    Column("priority", Integer, nullable=False),
    Column("max_failure_rate", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),  # a code
    Column("message", Text),  # its words
    Column("total", Integer, nullable=False),
    Column("shards_left", Integer, nullable=False),  # decides, alone, that the job has ended
    *_counters(),  # of ended shards only: flushes never touch this row
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("finished", Double),
    Column("max_failures", Integer),  # failed items above which the job stops; none: only the rate counts
    Column("canary_items", Integer, nullable=False, server_default="0"),  # first items that run alone; 0: none
    Column("deadline", Double),  # orders jobs of one priority; nothing ends by it
    Column("expires", Double),  # what has not ended by then is skipped
    Column("forgiven", Integer, nullable=False, server_default="0"),  # failures that a resume forgave
    Column("video", Text),  # JSON: which frames of videos; none: each one
    Column("request_hash", Text),  # of what was asked for; the same client token with another one is refused
    Column("use_cache", Integer, nullable=False, server_default="1"),  # 0: nothing is taken over from earlier runs
    Column("schedule_id", Text),  # the schedule that made it
    Column("webhooks", Text),  # JSON: who is told of what
    Column("output", Text),  # JSON: what is exported to where when it ends
    Column("gates", Text),  # JSON: the limits that it is judged by when it ends; none: it is not judged
    UniqueConstraint("tenant", "client_token"),
    CheckConstraint(_NOT_NEGATIVE, name="counters_not_negative"),
    CheckConstraint("ok + cached + failed + skipped <= total", name="books"),
    CheckConstraint("shards_left >= 0", name="shards_left_not_negative"),
    Index("ix_jobs_tenant_created", "tenant", "created"),
    Index("ix_jobs_state_created", "state", "created"),
    Index("ix_jobs_state_expires", "state", "expires"),
    # What outranks the work in hand: asked at each renewal, and mostly nothing.
    Index("ix_jobs_state_priority", "state", "priority"),
    Index("ix_jobs_schedule_id_created", "schedule_id", "created"),
)

items = Table(
    "items",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("idx", Integer, nullable=False),
    Column("uri", Text, nullable=False),
    Column("metadata", Text),  # JSON
    Column("start_s", Double),  # of a video's part, seconds after the first frame; none: a picture
    Column("end_s", Double),  # the part's end, which is not in it; none: the video's
    PrimaryKeyConstraint("job_id", "idx"),
)

shards = Table(
    "shards",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("first_idx", Integer, nullable=False),
    Column("last_idx", Integer, nullable=False),  # the range's last item, not one past it
    # Items that this shard has ended or has to end. After a split not those of the range: the first half keeps what
    # the whole had ended before, wherever it lies, and the second half counts only what it has to do.
    Column("size", Integer, nullable=False),
    Column("queue", Text, nullable=False),
    Column("hardware", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="1"),  # the fencing token
    Column("deaths", Integer, nullable=False, server_default="0"),  # workers lost over it; not the attempts
    Column("owner", Text),
    Column("lease_until", Double),
    Column("enqueued_at", Double),
    Column("created", Double, nullable=False),
    *_counters(),
    Column("leased_at", Double),  # when the present owner took it
    Column("offers", Integer, nullable=False, server_default="0"),  # times it was taken from a slow owner
    Column("ended", Double),  # when its last outcome was written; with `leased_at`, how long it took
    Column("opening", Integer, nullable=False, server_default="0"),  # leased: how far its model is (`openings.Stage`)
    Column("deaths_alone", Integer, nullable=False, server_default="0"),  # those of `deaths` over its last item alone
    UniqueConstraint("job_id", "seq"),
    CheckConstraint(_NOT_NEGATIVE, name="counters_not_negative"),
    CheckConstraint("ok + cached + failed + skipped <= size", name="books"),
    CheckConstraint("first_idx <= last_idx AND size > 0", name="range"),
    # What waits and runs in each queue. Leases need no index of their own: those that run are few, and one on
    # `lease_until` would be written at every flush.
    Index("ix_shards_state_queue", "state", "hardware", "queue", "job_id"),
    # The next shards of one job.
    Index("ix_shards_job_state", "job_id", "state", "seq"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("job_id", Text, nullable=False),
    Column("idx", Integer, nullable=False),
    Column("frame", Integer, nullable=False, server_default="0"),  # 0: the item's own row; frames count from 1
    Column("state", Text, nullable=False),
    Column("record", Text),  # JSON
    Column("blob", LargeBinary),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("timings_ms", Text),  # JSON
    Column("decision_id", Text),
    Column("attempt", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("tries", Integer, nullable=False, server_default="1"),  # runs of this item; deaths of workers not counted
    Column("timestamp_s", Double),  # of a video's frame, seconds after the first
    Column("content", Text),  # sha256 of the item's bytes, in hexadecimal digits
    PrimaryKeyConstraint("job_id", "idx", "frame"),
    ForeignKeyConstraint(["job_id", "idx"], ["items.job_id", "items.idx"]),
    # Failures by cause, of a job with a million items that went well.
    Index(
        "ix_outcomes_failed",
        *("job_id", "error_code", "idx", "frame"),  # with `frame`, counting reads no row
        postgresql_where=IS_FAILED,
        sqlite_where=IS_FAILED,
    ),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("package_id", Text, nullable=False),
    Column("package_digest", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("quantization", Text, nullable=False),
    Column("max_batch_size", Integer, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("class_names", Text, nullable=False),  # JSON
    Column("candidates", Text, nullable=False),  # JSON
    Column("versions", Text, nullable=False),  # JSON
    Column("machine", Text, nullable=False),  # JSON
    Column("load_ms", Double, nullable=False),
    Column("created", Double, nullable=False),
    Index("ix_decisions_job_id_created", "job_id", "created"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("hardware", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("queues", Text, nullable=False),  # JSON
    Column("models", Text, nullable=False),  # JSON
    Column("items_per_second", Double, nullable=False),
    Column("started", Double, nullable=False),
    Column("heartbeat", Double, nullable=False),
    Column("serves", Text, nullable=False, server_default="[]"),  # JSON: hardware classes, its own first
    Column("active", Integer, nullable=False, server_default="0"),  # shards in work
    Column("memory_bytes", BigInteger),  # resident memory of the process
    Column("stats", Text, nullable=False, server_default="{}"),  # JSON: by model, batch fill and stages
    Column("drain", Integer, nullable=False, server_default="0"),  # 1: somebody asked it to drain
    Column("machine", Text),  # digest of its description in `machines`; none: it has not reported one
    Index("ix_workers_heartbeat", "heartbeat"),
)

# What workers say that their machines have. Equal ones are kept once, so that a worker's row stays small.
machines = Table(
    "machines",
    metadata,
    Column("digest", Text, primary_key=True),  # sha256 of the description, in hexadecimal digits
    Column("description", Text, nullable=False),  # JSON, names sorted
    Column("created", Double, nullable=False),  # when a worker told of it last
)

job_events = Table(
    "job_events",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("created", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("details", Text, nullable=False),  # JSON
    Index("ix_job_events_job_id_created", "job_id", "created"),
)

# A class of hardware on which a job's model does not open: the job goes on with the next class of its list.
class_refusals = Table(
    "class_refusals",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("hardware", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("created", Double, nullable=False),
    PrimaryKeyConstraint("job_id", "hardware"),
)

# Trouble with opening a job's model on a class of hardware, from the first failure until a worker has it open.
openings = Table(
    "openings",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("hardware", Text, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),  # that failed for a reason that may pass
    Column("deaths", Integer, nullable=False, server_default="0"),  # processes that were lost while they loaded it
    Column("owner", Text),  # of the last death, which is counted once however many shards waited
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("next_try", Double),  # shards are held until then; none: they may be tried now
    PrimaryKeyConstraint("job_id", "hardware"),
    Index("ix_openings_next_try", "next_try"),
)

# Batch sizes that fitted where a larger one did not; every worker of the class begins with them.
learned_batches = Table(
    "learned_batches",
    metadata,
    Column("package_digest", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("quantization", Text, nullable=False),
    Column("hardware", Text, nullable=False),
    Column("max_batch_size", Integer, nullable=False),
    Column("learned", Double, nullable=False),
    PrimaryKeyConstraint("package_digest", "backend", "quantization", "hardware"),
    CheckConstraint("max_batch_size > 0", name="positive"),
)

# How fast a queue's items are done by one worker process; what backlogs are turned into seconds with.
queue_speeds = Table(
    "queue_speeds",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("seconds_per_item", Double, nullable=False),
    Column("measured", Double, nullable=False),
    CheckConstraint("seconds_per_item > 0", name="positive"),
)

# Messages that no worker can read. Nothing depends on them: what they meant stands in `shards`.
quarantined_messages = Table(
    "quarantined_messages",
    metadata,
    Column("id", Text, primary_key=True),  # UUIDv7
    Column("queue", Text, nullable=False),
    Column("reason", Text, nullable=False),  # a code
    Column("message", Text, nullable=False),  # its words
    Column("body", Text, nullable=False),  # the first bytes, printable
    Column("size_bytes", Integer, nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("created", Double, nullable=False),
    Index("ix_quarantined_messages_created", "created"),
)

# Shares of tenants: one who is not named has the weight 1.
tenants = Table(
    "tenants",
    metadata,
    Column("name", Text, primary_key=True),
    Column("weight", Double, nullable=False, server_default="1"),
    Column("created", Double, nullable=False),
    CheckConstraint("weight > 0", name="positive"),
)
