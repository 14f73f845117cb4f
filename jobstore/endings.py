"""How shards and jobs end. Locks are taken in one order everywhere: shard rows, then the job's row.

The job's `shards_left` alone decides that it has ended: under READ COMMITTED the question "is another shard open?" is
answered "yes" to both of two shards that end at once.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Row, insert, literal, select, update

from jobstore.canary import end_canary
from jobstore.clock import db_now
from jobstore.counters import NAMES, Counters, added, counters_of
from jobstore.encoding import storable
from jobstore.errors import JobNotFound
from jobstore.events import add_event
from jobstore.schema import ENDED_STATES, OPEN_SHARDS, JobId, JobState, OutcomeState, ShardId, ShardState
from jobstore.tables import items, jobs, outcomes, shards

logger = logging.getLogger(__name__)

BOOKS_DO_NOT_BALANCE = "books_do_not_balance"
_SKIPPED_CODES = {
    JobState.CANCELLED: "job_cancelled",
    JobState.EXPIRED: "job_expired",
    JobState.FAILED: "job_failed",
}


def finish_shard(db: Connection, shard_id: ShardId, job_id: JobId, counted: Counters) -> bool:
    """End a shard whose row this transaction holds and add its counters to the job; say whether the job ended."""
    done = {"state": ShardState.DONE, "lease_until": None, "ended": db_now()}
    db.execute(update(shards).where(shards.c.id == shard_id).values(done))
    job = db.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(shards_left=jobs.c.shards_left - 1, **added(jobs, counted))
        .returning(*jobs.c)
    ).one()
    if job.shards_left > 0:
        if job.state == JobState.CANARY:
            end_canary(db, job)
        return False
    _complete(db, job)
    return True


def end_early(db: Connection, job_id: JobId, state: JobState, code: str, message: str) -> bool:
    """Cancel, fail or expire a job: open shards are fenced off, what has no outcome is skipped. False: it had ended."""
    found = db.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one_or_none()
    if found is None:
        raise JobNotFound(f"no job {job_id}: see `nightshift jobs`")
    if found in ENDED_STATES:
        return False
    counted = _cancel_open_shards(db, job_id)
    ended = update(jobs).where(jobs.c.id == job_id, jobs.c.state.not_in(ENDED_STATES))
    if not db.execute(ended.values(state=state, reason=code, message=storable(message), finished=db_now())).rowcount:
        return False  # its last shard ended while we waited for its row
    # A shard that was split between the two statements has a new half, which the first of them could not see.
    counted += _cancel_open_shards(db, job_id)
    counted += Counters(skipped=_skip_the_rest(db, job_id, state, message))
    change = update(jobs).where(jobs.c.id == job_id).values(shards_left=0, **added(jobs, counted))
    _check_books(db, db.execute(change.returning(*jobs.c)).one())
    add_event(db, job_id, str(state), {"code": code, "message": message, "skipped": counted.skipped})
    return True


def _cancel_open_shards(db: Connection, job_id: JobId) -> Counters:
    rows = db.execute(
        update(shards)
        .where(shards.c.job_id == job_id, shards.c.state.in_(OPEN_SHARDS))
        .values(
            state=ShardState.CANCELLED, attempt=shards.c.attempt + 1, owner=None, lease_until=None, enqueued_at=None
        )
        .returning(*(shards.c[name] for name in NAMES))
    )
    return sum((counters_of(row) for row in rows.mappings()), Counters())


def _skip_the_rest(db: Connection, job_id: JobId, state: JobState, message: str) -> int:
    # EXCEPT hashes or sorts both sides once. NOT EXISTS took PostgreSQL 54 s for 100,000 items of a table without
    # statistics yet: a nested loop over items and outcomes.
    every = select(items.c.idx).where(items.c.job_id == job_id)
    ended = select(outcomes.c.idx).where(outcomes.c.job_id == job_id, outcomes.c.frame == 0)
    left = every.except_(ended).subquery("left_over")
    rows = select(
        literal(job_id),
        left.c.idx,
        literal(0),
        literal(str(OutcomeState.SKIPPED)),
        literal(_SKIPPED_CODES[state]),
        literal(storable(message)),
        literal(0),
        db_now(),
    )
    columns = ["job_id", "idx", "frame", "state", "error_code", "error_message", "attempt", "created"]
    statement = insert(outcomes).from_select(columns, rows).execution_options(preserve_rowcount=True)
    return db.execute(statement).rowcount


def _complete(db: Connection, job: Row[tuple[object, ...]]) -> None:
    clean = job.failed == 0 and job.skipped == 0
    state = JobState.COMPLETED if clean else JobState.COMPLETED_WITH_ERRORS
    ended = {"state": state, "reason": None, "message": None, "finished": db_now()}
    db.execute(update(jobs).where(jobs.c.id == job.id).values(ended))
    if _check_books(db, job):
        add_event(db, JobId(job.id), str(state), {"failed": job.failed, "total": job.total})


def _check_books(db: Connection, job: Row[tuple[object, ...]]) -> bool:
    """Hold the ended job's counters against its items; a difference is our bug, and is never hidden."""
    counted = counters_of(job._mapping)  # noqa: SLF001 - public in SQLAlchemy
    if counted.ended == job.total:
        return True
    logger.critical(
        "job %s ended with %d outcomes for %d items",
        job.id,
        counted.ended,
        job.total,
        extra={"event": BOOKS_DO_NOT_BALANCE, "job_id": job.id, "counted": counted.ended, "total": job.total},
    )
    message = f"{counted.ended} outcomes for {job.total} items: this is a fault of nightshift, please report it"
    values = {"state": JobState.FAILED, "reason": BOOKS_DO_NOT_BALANCE, "message": message}
    db.execute(update(jobs).where(jobs.c.id == job.id).values(values))
    add_event(db, JobId(job.id), str(JobState.FAILED), {"code": BOOKS_DO_NOT_BALANCE, "counted": counted.ended})
    return False
