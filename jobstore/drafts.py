"""Jobs that are filled part by part: nothing of them runs before they are sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_json
from jobstore.endings import end_early
from jobstore.errors import InvalidJob, JobNotFound
from jobstore.events import add_event
from jobstore.file_lock import name_files
from jobstore.ids import new_id
from jobstore.queues import queue_name
from jobstore.schema import JobId, JobSpec, JobState
from jobstore.service_tables import draft_parts, drafts
from jobstore.submit import (
    ItemSpool,
    check_spec,
    insert_items,
    insert_shards,
    job_of_token,
    job_row,
    plan,
    started_row,
)
from jobstore.tables import items, jobs
from jobstore.upsert import insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobstore.connection import Database
    from jobstore.schema import ItemRef


class Drafts:
    """Jobs of a store that are not sealed yet; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def create(self, spec: JobSpec) -> JobId:
        """Accept a job whose items come part by part; nothing of it runs before it is sealed.

        Returns:
            The new job's id, or that of the tenant's job which has the same client token.

        Raises:
            InvalidJob: a field that cannot be.
            ClientTokenReused: the token belongs to another request.
        """
        check_spec(spec)
        job_id = JobId(new_id())
        return self._db.write(lambda db: job_of_token(db, spec) or _create(db, job_id, spec))

    def append(self, job_id: JobId, items: Iterable[ItemRef], *, part_token: str) -> int:
        """Add items to a draft, behind those that are there; give their number.

        Args:
            part_token: names this part; when it comes again nothing is added, and the number is that of the first time.

        Raises:
            InvalidJob: it is no draft any more, or an item cannot be.
            JobNotFound: there is no such job.
        """
        with ItemSpool(items) as spool:
            return self._db.write(lambda db: _append(db, job_id, spool, part_token))

    def seal(self, job_id: JobId) -> bool:
        """Let a draft run; nothing can be added to it any more. False: it was sealed before.

        Raises:
            InvalidJob: it has no items, or ended before.
            JobNotFound: there is no such job.
        """
        return self._db.change(lambda db: _seal(db, job_id))

    def expire(self, after_s: float) -> list[JobId]:
        """End drafts to which nothing was added for so long, and that nobody sealed."""
        return self._db.write(lambda db: _expire(db, after_s))


def _create(db: Connection, job_id: JobId, spec: JobSpec) -> JobId:
    """Write a job without items; give its id, or that of the job which the client token already has."""
    values = {"state": JobState.DRAFT, "name": spec.name, "wishes": to_json(spec.wishes), "total": 0, "shards_left": 0}
    row = job_row(spec) | values | {"id": job_id, "created": db_now()}
    if db.execute(insert_or_ignore(db, jobs).values(row).returning(jobs.c.id)).scalar_one_or_none() is None:
        return job_of_token(db, spec) or job_id
    left = {"shard_size": spec.shard_size, "canary_items": spec.canary_items}
    db.execute(insert(drafts).values(job_id=job_id, touched=db_now(), **left))
    add_event(db, job_id, "drafted", {})
    return job_id


def _append(db: Connection, job_id: JobId, spool: ItemSpool, token: str) -> int:
    """Add items behind those that are there; give their number, of a token that came before what it had brought."""
    name_files(db)
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


def _seal(db: Connection, job_id: JobId) -> bool:
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


def _expire(db: Connection, after_s: float) -> list[JobId]:
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
