"""Messages that no worker can read: set aside, so that a person can see who sends them."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from jobstore.clock import db_now
from jobstore.schema import QuarantinedMessage, WorkerId
from jobstore.tables import quarantined_messages as table
from jobstore.upsert import insert_or_ignore

#: Rows that are kept: who floods a queue must not fill the database.
KEPT = 1_000


def quarantine(db: Connection, row_id: str, row: QuarantinedMessage) -> None:
    """Write one row, and drop those that are older than the newest `KEPT`.

    Args:
        row_id: the same for each try.
    """
    values = {
        "id": row_id,
        "queue": row.queue,
        "reason": row.reason,
        "message": row.message,
        "body": row.body,
        "size_bytes": row.size_bytes,
        "worker_id": row.worker_id,
        "created": db_now(),
    }
    db.execute(insert_or_ignore(db, table).values(values))
    newest_dropped = select(table.c.id).order_by(table.c.id.desc()).offset(KEPT).limit(1).scalar_subquery()
    db.execute(delete(table).where(table.c.id <= newest_dropped))


def quarantined(db: Connection, limit: int) -> list[QuarantinedMessage]:
    """List rows, the newest first."""
    rows = db.execute(select(table).order_by(table.c.id.desc()).limit(limit)).mappings()
    return [
        QuarantinedMessage(
            worker_id=WorkerId(row["worker_id"]),
            **{name: row[name] for name in ("queue", "reason", "message", "body", "size_bytes", "created")},
        )
        for row in rows
    ]
