"""A job's history: one row each time that something happened which people ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select

from jobstore.clock import db_now
from jobstore.encoding import from_json, storable, to_json
from jobstore.export_requests import ask_at_end
from jobstore.ids import new_id
from jobstore.outbox import tell_of_job
from jobstore.tables import job_events
from jobstore.views import JobEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobstore.schema import JobId


def add_event(db: Connection, job_id: JobId, kind: str, details: Mapping[str, Any]) -> None:
    """Write one event in the transaction of what it tells about, with the webhooks and exports that follow from it.

    Called after the job's row was changed: that is what the webhooks describe.
    """
    row = {"id": new_id(), "job_id": job_id, "kind": kind, "details": storable(to_json(details)), "created": db_now()}
    db.execute(insert(job_events).values(row))
    tell_of_job(db, job_id, kind)
    ask_at_end(db, job_id, kind)


def events_of(db: Connection, job_id: JobId) -> list[JobEvent]:
    """List a job's events, oldest first."""
    query = select(job_events).where(job_events.c.job_id == job_id).order_by(job_events.c.created, job_events.c.id)
    return [JobEvent(job_id, row.kind, row.created, from_json(row.details)) for row in db.execute(query)]
