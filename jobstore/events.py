"""A job's history: one row each time that something happened which people ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection, insert, or_, select, tuple_

from jobstore.aftercare import Output, Webhook
from jobstore.clock import db_now
from jobstore.encoding import from_json, storable, to_json
from jobstore.export_requests import EXPORTED_ENDS, ask_at_end
from jobstore.ids import new_id
from jobstore.outbox import TOLD_KINDS, tell_of_job
from jobstore.tables import job_events, jobs
from jobstore.verdict_requests import JUDGED_ENDS, judge_at_end
from jobstore.views import JobEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobstore.schema import JobId


def add_event(
    db: Connection, job_id: JobId, kind: str, details: Mapping[str, Any], event_id: str | None = None
) -> None:
    """Write one event in the transaction of what it tells about, with the webhooks, exports and verdicts that follow.

    Called after the job's row was changed: that is what the webhooks describe.

    Args:
        event_id: made by whoever wants to find it again (`details_of`); None: a new one.
    """
    db.execute(insert(job_events).values(created=db_now(), **_row(event_id or new_id(), job_id, kind, details)))
    _follow(db, [(job_id, kind, details)])


def add_events(db: Connection, told: Sequence[tuple[JobId, str, Mapping[str, Any]]]) -> None:
    """Write events of several jobs, `(job, kind, details)`, by one call of the database; else as `add_event`."""
    rows = [_row(new_id(), job_id, kind, details) for job_id, kind, details in told]
    if rows:
        db.execute(insert(job_events).values(created=db_now()), rows)
    _follow(db, told)


def _follow(db: Connection, told: Sequence[tuple[JobId, str, Mapping[str, Any]]]) -> None:
    """Do what the jobs have asked for; most have asked for nothing, which one question says of all of them."""
    matter = [each for each in told if each[1] in TOLD_KINDS]
    if not matter:
        return
    columns = (jobs.c.webhooks, jobs.c.output, jobs.c.gates)
    has_any = or_(*(column.is_not(None) for column in columns))
    query = select(jobs.c.id, *columns).where(jobs.c.id.in_({job_id for job_id, _, _ in matter}), has_any)
    asked = {row.id: row for row in db.execute(query)}
    for job_id, kind, details in matter:
        if (job := asked.get(job_id)) is None:
            continue
        if job.webhooks is not None:
            tell_of_job(db, job_id, kind, details, msgspec.convert(from_json(job.webhooks), list[Webhook]))
        if job.output is not None and kind in EXPORTED_ENDS:
            ask_at_end(db, job_id, msgspec.convert(from_json(job.output), Output))
        if job.gates is not None and kind in JUDGED_ENDS:
            judge_at_end(db, job_id)


def details_of(db: Connection, event_id: str) -> dict[str, Any] | None:
    """Give what an event says; None: it was not written."""
    found: dict[str, Any] | None = from_json(
        db.execute(select(job_events.c.details).where(job_events.c.id == event_id)).scalar_one_or_none()
    )
    return found


def _row(event_id: str, job_id: JobId, kind: str, details: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": event_id, "job_id": job_id, "kind": kind, "details": storable(to_json(details))}


def newest_events(db: Connection, job_id: JobId, limit: int) -> list[JobEvent]:
    """List the last `limit` things that happened to a job, the newest first."""
    query = select(job_events).where(job_events.c.job_id == job_id)
    query = query.order_by(job_events.c.created.desc(), job_events.c.id.desc()).limit(limit)
    return [JobEvent(job_id, row.kind, row.created, from_json(row.details), row.id) for row in db.execute(query)]


def events_of(db: Connection, job_id: JobId, after: str | None = None) -> list[JobEvent]:
    """List a job's events, oldest first; those after the event of this id, or all where there is none of it."""
    query = select(job_events).where(job_events.c.job_id == job_id).order_by(job_events.c.created, job_events.c.id)
    seen = select(job_events.c.created).where(job_events.c.job_id == job_id, job_events.c.id == after)
    since = None if after is None else db.execute(seen).scalar_one_or_none()
    if since is not None:
        query = query.where(tuple_(job_events.c.created, job_events.c.id) > tuple_(since, after))
    return [JobEvent(job_id, row.kind, row.created, from_json(row.details), row.id) for row in db.execute(query)]
