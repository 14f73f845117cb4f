"""Steering a job that has not ended: pause, resume, a stop that needs attention, another priority.

A stopped job's waiting shards are `held`: no window, no queue and no idle worker ever looks at them, however many there
are, and so are those of a model that cannot be fetched now (`jobstore.openings`). Locks are taken in the order of
`endings`: shard rows, then the job's row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, true, update

from jobstore.encoding import storable
from jobstore.errors import InvalidJob, JobNotFound
from jobstore.events import add_event
from jobstore.schema import (
    ENDED_STATES,
    OPEN_SHARDS,
    RUNNABLE_STATES,
    STOPPED_STATES,
    WAITING_SHARDS,
    JobId,
    JobState,
    ShardState,
)
from jobstore.tables import job_events, jobs, shards

if TYPE_CHECKING:
    from collections.abc import Collection

#: Kind of the event that stands for a judged canary, whatever the judgement was.
CANARY_DONE = "canary_done"
PAUSED_MESSAGE = "somebody paused it: `nightshift resume` goes on where it stands, `nightshift cancel` ends it"


def pause(db: Connection, job_id: JobId) -> bool:
    """Stop a running job until it is resumed. False: it was stopped or had ended."""
    return stop(db, job_id, JobState.PAUSED, "paused", PAUSED_MESSAGE)


def stop(db: Connection, job_id: JobId, state: JobState, reason: str, message: str) -> bool:
    """Hold what waits and say why; workers give back what they hold at their next renewal. False: it does not run."""
    if job_row(db, job_id).state not in RUNNABLE_STATES:
        return False
    hold(db, job_id)
    change = update(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(RUNNABLE_STATES))
    if not db.execute(change.values(state=state, reason=reason, message=storable(message))).rowcount:
        return False  # somebody else stopped it, or it ended, while we waited for its row
    hold(db, job_id)  # what was given back between the two statements
    add_event(db, job_id, str(state), {"code": reason, "message": message})
    return True


def resume(db: Connection, job_id: JobId, max_failures: int | None, max_failure_rate: float | None) -> bool:
    """Go on with a stopped job, with other limits where they are given. False: it is not stopped.

    What failed before a stop for attention is forgiven: the error policy counts from here.
    """
    job = job_row(db, job_id)
    if job.state not in STOPPED_STATES:
        return False
    # Only for the order of locks: whoever cancels the job at this moment takes its shards first, too.
    held = (shards.c.job_id == job_id, shards.c.state == ShardState.HELD)
    db.execute(select(shards.c.id).where(*held).with_for_update())
    state = state_to_go_on_in(db, job)
    values: dict[str, Any] = {"state": state, "reason": None, "message": None}
    values |= {} if max_failures is None else {"max_failures": max_failures}
    values |= {} if max_failure_rate is None else {"max_failure_rate": max_failure_rate}
    if job.state == JobState.NEEDS_ATTENTION:
        values["forgiven"] = job.failed + open_failures(db, job_id)
    change = update(jobs).where(jobs.c.id == job_id, jobs.c.state == job.state)
    if not db.execute(change.values(values)).rowcount:
        return False  # somebody else resumed or ended it meanwhile
    unhold(db, job_id, job.canary_items if state is JobState.CANARY else None)
    add_event(db, job_id, "resumed", {"from": job.state, "to": state, "forgiven": values.get("forgiven", job.forgiven)})
    return True


def reprioritise(db: Connection, job_id: JobId, priority: int) -> bool:
    """Give a job another priority; hints in its queues are recalled, so that the window is chosen anew at once.

    False: it has ended.

    Raises:
        InvalidJob: no 32-bit integer.
    """
    if abs(priority) >= 2**31:
        raise InvalidJob(f"priority {priority}: expected a 32-bit integer")
    job = job_row(db, job_id)
    if job.state in ENDED_STATES or job.priority == priority:
        return job.state not in ENDED_STATES
    waiting = select(shards.c.queue).where(shards.c.job_id == job_id, shards.c.state.in_(WAITING_SHARDS))
    queues = sorted(set(db.execute(waiting.distinct()).scalars()))
    db.execute(
        update(shards)
        .where(shards.c.state == ShardState.QUEUED, shards.c.queue.in_(queues))
        .values(state=ShardState.PENDING, attempt=shards.c.attempt + 1, enqueued_at=None)
    )
    change = update(jobs).where(jobs.c.id == job_id, jobs.c.state.not_in(ENDED_STATES)).values(priority=priority)
    if not db.execute(change).rowcount:
        return False
    add_event(db, job_id, "reprioritised", {"priority": priority})
    return True


def hold_if_stopped(db: Connection, job_ids: Collection[str]) -> None:
    """Hold those shards of stopped jobs that this transaction has made pending.

    Without the lock on the job's row, a pause that runs beside us would see a leased shard and we a running job.
    """
    locked = select(jobs.c.id, jobs.c.state).where(jobs.c.id.in_(sorted(job_ids))).order_by(jobs.c.id)
    for job in db.execute(locked.with_for_update(key_share=True)).all():
        if job.state in STOPPED_STATES:
            hold(db, JobId(job.id))


def hold(db: Connection, job_id: JobId, hardware: str | None = None) -> None:
    """Hold what waits of a job: on one class of hardware, or all of it."""
    is_meant = and_(shards.c.job_id == job_id, shards.c.state.in_(WAITING_SHARDS), _is_on(hardware))
    db.execute(update(shards).where(is_meant).values(state=ShardState.HELD, enqueued_at=None))


def unhold(db: Connection, job_id: JobId, below: int | None, hardware: str | None = None) -> None:
    """Make held shards pending: those that begin before item `below`, or all; on one class of hardware, or on any."""
    is_due = and_(shards.c.job_id == job_id, shards.c.state == ShardState.HELD, _is_on(hardware))
    if below is not None:
        is_due = and_(is_due, shards.c.first_idx < below)
    db.execute(update(shards).where(is_due).values(state=ShardState.PENDING))


def unhold_class(db: Connection, job_id: JobId, hardware: str) -> None:
    """Make shards pending that waited for their model on a class, unless their job is stopped or tries its canary."""
    job = job_row(db, job_id)
    if job.state in RUNNABLE_STATES:
        unhold(db, job_id, job.canary_items if job.state == JobState.CANARY else None, hardware)
        hold_if_stopped(db, [job_id])


def open_failures(db: Connection, job_id: JobId) -> int:
    """Count the failed items of shards that have not ended; those of the others stand in the job's row."""
    query = select(func.coalesce(func.sum(shards.c.failed), 0))
    return int(db.execute(query.where(shards.c.job_id == job_id, shards.c.state.in_(OPEN_SHARDS))).scalar_one())


def _is_on(hardware: str | None) -> ColumnElement[bool]:
    return true() if hardware is None else shards.c.hardware == hardware


def state_to_go_on_in(db: Connection, job: Row[Any]) -> JobState:
    """Give the state in which a job goes on that was stopped or had ended: its canary comes first, until judged."""
    query = select(job_events.c.id).where(job_events.c.job_id == job.id, job_events.c.kind == CANARY_DONE)
    is_judged = job.canary_items == 0 or db.execute(query.limit(1)).first() is not None
    return JobState.RUNNING if is_judged else JobState.CANARY


def job_row(db: Connection, job_id: JobId) -> Row[Any]:
    """Give a job's row; raises `JobNotFound`."""
    found = db.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if found is None:
        raise JobNotFound(f"no job {job_id}: see `nightshift jobs`")
    return found
