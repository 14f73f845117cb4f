"""Jobs that are filled part by part: nothing of them runs before they are sealed."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_json
from jobstore.endings import end_early
from jobstore.errors import InvalidJob, JobNotFound
from jobstore.events import add_event
from jobstore.queues import queue_name
from jobstore.schema import JobId, JobSpec, JobState
from jobstore.service_tables import draft_parts, drafts
from jobstore.submit import ItemSpool, insert_items, insert_shards, job_of_token, job_row, plan, started_row
from jobstore.tables import items, jobs
from jobstore.upsert import insert_or_ignore


def create(db: Connection, job_id: JobId, spec: JobSpec) -> JobId:
    """Write a job without items; give its id, or that of the job which the client token already has."""
    values = {"state": JobState.DRAFT, "name": spec.name, "wishes": to_json(spec.wishes), "total": 0, "shards_left": 0}
    row = job_row(spec) | values | {"id": job_id, "created": db_now()}
    if db.execute(insert_or_ignore(db, jobs).values(row).returning(jobs.c.id)).scalar_one_or_none() is None:
        return job_of_token(db, spec) or job_id
    left = {"shard_size": spec.shard_size, "canary_items": spec.canary_items}
    db.execute(insert(drafts).values(job_id=job_id, touched=db_now(), **left))
    add_event(db, job_id, "drafted", {})
    return job_id


def append(db: Connection, job_id: JobId, spool: ItemSpool, token: str) -> int:
    """Add items behind those that are there; give their number, of a token that came before what it had brought."""
    job = _locked(db, job_id)
    is_its = (draft_parts.c.job_id == job_id, draft_parts.c.token == token)
    known = db.execute(select(draft_parts.c["items"]).where(*is_its)).scalar_one_or_none()
    if known is not None:
        return int(known)
    if job.state != JobState.DRAFT:
        raise InvalidJob(f"job {job_id} is {job.state}: only a draft takes more items; submit them as another job")
    insert_items(db, job_id, spool, job.total)
    db.execute(update(jobs).where(jobs.c.id == job_id).values(total=jobs.c.total + spool.total))
    more = {"clips": drafts.c.clips + spool.clips, "touched": db_now()}
    db.execute(update(drafts).where(drafts.c.job_id == job_id).values(more))
    db.execute(insert(draft_parts).values(job_id=job_id, token=token, items=spool.total))
    return spool.total


def seal(db: Connection, job_id: JobId) -> bool:
    """Cut a draft into shards and let it run. False: it was sealed before.

    Raises:
        InvalidJob: it has no items, or ended before it was sealed.
    """
    job = _locked(db, job_id)
    draft = db.execute(select(drafts).where(drafts.c.job_id == job_id)).one_or_none()
    if draft is None:
        return False
    if job.state != JobState.DRAFT:
        raise InvalidJob(f"job {job_id} is {job.state}: it ended before it was sealed, and nothing of it runs")
    if not job.total:
        raise InvalidJob(f"job {job_id} has no items: append at least one picture or video before it is sealed")
    first = select(items.c.uri).where(items.c.job_id == job_id, items.c.idx == 0)
    cut = plan(job.total, draft.clips, draft.shard_size, draft.canary_items)
    spec = JobSpec(job.model, job.name, wishes=from_json(job.wishes))
    started = started_row(spec, job.total, db.execute(first).scalar_one(), cut)
    db.execute(update(jobs).where(jobs.c.id == job_id).values(started))
    hardware: str = from_json(job.hardware)[0]
    insert_shards(db, job_id, cut, queue_name(hardware, job.model), hardware)
    db.execute(delete(drafts).where(drafts.c.job_id == job_id))
    return True


def expire(db: Connection, after_s: float) -> list[JobId]:
    """End the drafts to which nothing was added for so long."""
    is_left = (jobs.c.state == JobState.DRAFT, drafts.c.touched < db_now() - after_s)
    query = select(jobs.c.id).join(drafts, drafts.c.job_id == jobs.c.id).where(*is_left).order_by(jobs.c.id)
    message = f"the draft was not sealed, and nothing was added to it for {after_s:.0f} s"
    left = [JobId(job_id) for job_id in db.execute(query).scalars().all()]
    return [job_id for job_id in left if end_early(db, job_id, JobState.EXPIRED, "expired", message)]


def _locked(db: Connection, job_id: JobId) -> Row[Any]:
    job = db.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one_or_none()
    if job is None:
        raise JobNotFound(f"no job {job_id}: see `nightshift jobs`")
    return job
