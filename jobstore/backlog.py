"""What waits in each queue, why, and for how long it would keep one worker busy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, case, func, select, update

from jobstore.clock import db_now
from jobstore.heartbeats import live_workers
from jobstore.queues import hardware_of
from jobstore.schema import OPEN_SHARDS, RUNNABLE_STATES, WAITING_SHARDS, JobState, ShardState
from jobstore.tables import class_refusals, jobs, openings, queue_speeds, shards
from jobstore.upsert import insert_or_ignore
from jobstore.views import AutoscaleFigures, QueueRow
from jobstore.waiting import QueueFacts, explain, words_of_trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Share of a new measurement in a queue's speed: a worker on another kind of machine changes it, one odd shard hardly.
NEWEST_SHARE = 0.2
#: Seconds an item where nothing of the class was ever measured: between a light model on two cores (0.02) and a large
#: one on a small CPU (1). It only has to be right until the first shard has ended.
UNMEASURED_S = 0.25


@dataclass(frozen=True, slots=True)
class _Tried:
    """What became of opening models: classes that refused a job, by job, and what may pass, by job and class."""

    refusals: Mapping[str, Sequence[str]]
    troubles: Mapping[tuple[str, str], str]


def list_queues(db: Connection, hardware: str | None, tenant: str | None = None) -> list[QueueRow]:
    """Give what waits and runs in each queue that has anything, and why it waits."""
    speeds, live = _speeds(db), live_workers(db)
    tried = _Tried(_refusals(db), _troubles(db))
    rows = db.execute(_per_job(hardware, tenant)).all()
    return [
        _queue_row(queue, list(of_queue), speeds, tried, live)
        for queue, of_queue in groupby(rows, key=lambda row: str(row.queue))
    ]


def autoscale(db: Connection, hardware: str) -> AutoscaleFigures:
    """Add up the queues of one class."""
    speeds, rows = _speeds(db), db.execute(_per_job(hardware)).all()
    return AutoscaleFigures(
        hardware=hardware,
        backlog_items=_due_items(rows),
        backlog_seconds=round(sum(_due_items([row]) * seconds_per_item(row.queue, speeds) for row in rows), 3),
        oldest_age_seconds=round(max((row.waiting_s for row in rows if row.waiting_s is not None), default=0.0), 3),
        active=sum(row.leased for row in rows),
        workers=sum(hardware in worker.serves for worker in live_workers(db)),
    )


def report_speed(db: Connection, queue: str, seconds_per_item: float) -> None:
    """Mix a measurement into a queue's speed: an exponentially weighted mean over reports."""
    mixed = (1 - NEWEST_SHARE) * queue_speeds.c.seconds_per_item + NEWEST_SHARE * seconds_per_item
    change = update(queue_speeds).where(queue_speeds.c.queue == queue)
    if not db.execute(change.values(seconds_per_item=mixed, measured=db_now())).rowcount:
        values = {"queue": queue, "seconds_per_item": seconds_per_item, "measured": db_now()}
        db.execute(insert_or_ignore(db, queue_speeds).values(values))


def job_counts(db: Connection, tenant: str | None = None) -> dict[JobState, int]:
    """Count jobs by state, over the index on it."""
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    rows = db.execute(query if tenant is None else query.where(jobs.c.tenant == tenant))
    return {JobState(state): number for state, number in rows}


def seconds_per_item(queue: str, speeds: Mapping[str, float]) -> float:
    """How long one worker process takes for an item: measured, else the mean of the class, else `UNMEASURED_S`."""
    if queue in speeds:
        return speeds[queue]
    of_class = [seconds for name, seconds in speeds.items() if hardware_of(name) == hardware_of(queue)]
    return sum(of_class) / len(of_class) if of_class else UNMEASURED_S


def _per_job(hardware: str | None, tenant: str | None = None) -> Any:
    """One row a queue and job that has open shards there; folded into queues by the callers.

    The shards are counted before the jobs are looked up: a backlog has many of the former and few of the latter.
    """

    def number_of(state: ShardState) -> Any:
        return func.sum(case((shards.c.state == state, 1), else_=0)).label(state.value)

    ended = shards.c.ok + shards.c.cached + shards.c.failed + shards.c.skipped
    due_since = case((shards.c.state.in_(WAITING_SHARDS), func.coalesce(shards.c.enqueued_at, shards.c.created)))
    waiting_since = case((shards.c.state.in_(WAITING_SHARDS), shards.c.created))
    counted = (
        select(
            shards.c.queue,
            shards.c.hardware,
            shards.c.job_id,
            *(number_of(state) for state in OPEN_SHARDS),
            func.sum(shards.c.size - ended).label("items_left"),
            (db_now() - func.min(waiting_since)).label("waiting_s"),
            (db_now() - func.min(due_since)).label("due_s"),
        )
        .where(shards.c.state.in_(OPEN_SHARDS))
        .group_by(shards.c.queue, shards.c.hardware, shards.c.job_id)
    )
    if hardware is not None:
        counted = counted.where(shards.c.hardware == hardware)
    found = counted.subquery("counted")
    joined = select(found, jobs.c.state).join(jobs, jobs.c.id == found.c.job_id).order_by(found.c.queue)
    return joined if tenant is None else joined.where(jobs.c.tenant == tenant)


def _queue_row(
    queue: str,
    rows: Sequence[Row[Any]],
    speeds: Mapping[str, float],
    tried: _Tried,
    live: Sequence[Any],
) -> QueueRow:
    counts = {state.value: sum(getattr(row, state.value) for row in rows) for state in OPEN_SHARDS}
    holding = [row for row in rows if row.held]
    facts = QueueFacts(
        hardware=rows[0].hardware,
        due=counts["pending"] + counts["queued"],
        leased=counts["leased"],
        due_age_s=max((row.due_s for row in rows if row.due_s is not None), default=0.0),
        held={JobState(row.state): sum(other.state == row.state for other in holding) for row in holding},
        troubles=sorted({tried.troubles[_key(row)] for row in holding if _key(row) in tried.troubles}),
        refusals=sorted({words for row in rows for words in tried.refusals.get(row.job_id, ())}),
    )
    waiting, reason = explain(facts, live) or (None, "")
    due_items = _due_items(rows)
    return QueueRow(
        queue=queue,
        hardware=facts.hardware,
        **counts,
        items_left=sum(row.items_left for row in rows),
        oldest_age_s=max((row.waiting_s for row in rows if row.waiting_s is not None), default=None),
        backlog_items=due_items,
        backlog_seconds=round(due_items * seconds_per_item(queue, speeds), 3),
        waiting=waiting,
        reason=reason,
    )


def _due_items(rows: Iterable[Row[Any]]) -> int:
    """Items of jobs that may run: nobody has to start a worker for a job that is stopped."""
    return sum(row.items_left for row in rows if row.state in RUNNABLE_STATES)


def _speeds(db: Connection) -> dict[str, float]:
    return {row.queue: row.seconds_per_item for row in db.execute(select(queue_speeds))}


def _key(row: Any) -> tuple[str, str]:
    return row.job_id, row.hardware


def _troubles(db: Connection) -> dict[tuple[str, str], str]:
    """Why models of running jobs cannot be opened now, by job and class."""
    wait = (openings.c.next_try - db_now()).label("wait_s")
    query = select(openings.c.job_id, openings.c.hardware, openings.c.message, wait)
    running = query.join(jobs, jobs.c.id == openings.c.job_id).where(jobs.c.state.in_(RUNNABLE_STATES))
    rows = db.execute(running.where(openings.c.next_try.is_not(None)))
    return {_key(row): words_of_trouble(row.hardware, row.message, row.wait_s) for row in rows}


def _refusals(db: Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    running = select(class_refusals).join(jobs, jobs.c.id == class_refusals.c.job_id)
    for row in db.execute(running.where(jobs.c.state.in_(RUNNABLE_STATES))):
        found.setdefault(row.job_id, []).append(f"{row.hardware}: {row.code}")
    return found
