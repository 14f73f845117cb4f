"""How shards and jobs end. Locks are taken in one order everywhere: shard rows, then the job's row.

The job's `shards_left` alone decides that it has ended: under READ COMMITTED the question "is another shard open?" is
answered "yes" to both of two shards that end at once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Row, bindparam, insert, literal, or_, select, update

from jobstore.canary import end_canary
from jobstore.clock import db_now
from jobstore.counters import NAMES, Counters, added, counters_of
from jobstore.encoding import storable
from jobstore.errors import JobNotFound
from jobstore.events import add_event, add_events
from jobstore.schema import ENDED_STATES, OPEN_SHARDS, JobId, JobState, OutcomeState, ShardId, ShardState
from jobstore.tables import items, jobs, outcomes, shards

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

BOOKS_DO_NOT_BALANCE = "books_do_not_balance"
_SKIPPED_CODES = {
    JobState.CANCELLED: "job_cancelled",
    JobState.EXPIRED: "job_expired",
    JobState.FAILED: "job_failed",
}


@dataclass(frozen=True, slots=True)
class Ending:
    """A shard that ends, with its final counters."""

    shard_id: ShardId
    job_id: JobId
    counted: Counters


def finish_shard(db: Connection, shard_id: ShardId, job_id: JobId, counted: Counters) -> bool:
    """End a shard whose row this transaction holds with its final counters; say whether the job ended by it."""
    return job_id in finish_shards(db, [Ending(shard_id, job_id, counted)])


def finish_shards(db: Connection, endings: Sequence[Ending]) -> set[JobId]:
    """End shards whose rows this transaction holds; give the jobs that ended by it."""
    if not endings:
        return set()
    db.execute(_END, [{"shard": ending.shard_id, **_bound(ending.counted)} for ending in endings])
    by_job: dict[JobId, list[Counters]] = {}
    for ending in endings:
        by_job.setdefault(ending.job_id, []).append(ending.counted)
    in_turn = sorted(by_job.items())  # the order in which rows of jobs are locked
    db.execute(_COUNT, [{"job": job_id, "n": len(them), **_bound(sum(them, Counters()))} for job_id, them in in_turn])
    is_met = or_(jobs.c.shards_left == 0, jobs.c.state == JobState.CANARY)
    met = db.execute(select(jobs).where(jobs.c.id.in_(by_job), is_met).order_by(jobs.c.id)).all()
    _complete(db, [job for job in met if job.shards_left == 0])
    for job in met:
        if job.shards_left > 0:
            end_canary(db, job)
    return {JobId(job.id) for job in met if job.shards_left == 0}


def _bound(counted: Counters) -> dict[str, int]:
    return {f"its_{name}": getattr(counted, name) for name in NAMES}


_END = (
    update(shards)
    .where(shards.c.id == bindparam("shard"))
    .values(state=ShardState.DONE, lease_until=None, ended=db_now())
    .values({shards.c[name]: bindparam(f"its_{name}") for name in NAMES})
)
_COUNT = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(shards_left=jobs.c.shards_left - bindparam("n"))
    .values({jobs.c[name]: jobs.c[name] + bindparam(f"its_{name}") for name in NAMES})
)
_COMPLETE = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(state=bindparam("ended_as"), reason=None, message=None, finished=db_now())
)


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


def _complete(db: Connection, ended: Sequence[Row[tuple[object, ...]]]) -> None:
    if not ended:
        return
    states = {
        job.id: JobState.COMPLETED if job.failed == 0 and job.skipped == 0 else JobState.COMPLETED_WITH_ERRORS
        for job in ended
    }
    db.execute(_COMPLETE, [{"job": job_id, "ended_as": state} for job_id, state in states.items()])
    told = [job for job in ended if _check_books(db, job)]
    add_events(db, [(JobId(job.id), str(states[job.id]), {"failed": job.failed, "total": job.total}) for job in told])


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
