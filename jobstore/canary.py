"""The canary of a large job: its first items run alone, and what they show is written down before the rest follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, func, select, update

from jobstore.clock import db_now
from jobstore.encoding import count_objects, from_json
from jobstore.events import add_event
from jobstore.policy import judge_canary
from jobstore.receipts import decisions_of
from jobstore.schema import OPEN_SHARDS, JobId, JobState, OutcomeState
from jobstore.serving import live_workers
from jobstore.steering import CANARY_DONE, unhold
from jobstore.tables import jobs, outcomes, shards, workers

if TYPE_CHECKING:
    from jobstore.schema import DecisionRow


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """What a canary showed; details of the event `canary_done`.

    Attributes:
        items_per_second: without the time until the first model was open.
        eta_low_s: seconds for the rest if every live worker of the class helps at the canary's pace.
        eta_high_s: the same with the workers of the canary alone, as slow as it was with its loading.
        failed_share: share of items that could not be labelled.
        empty_share: share of labelled items in which nothing was found; None: the task finds no objects.
        memory_bytes: resident memory of the largest worker process; None: it did not say.
    """

    items: int
    items_per_second: float
    eta_low_s: float
    eta_high_s: float
    failed_share: float
    empty_share: float | None
    memory_bytes: int | None
    backend: str | None
    quantization: str | None
    device: str | None
    workers: int


def end_canary(db: Connection, job: Row[Any]) -> None:
    """Judge a canary, unless some of its shards are open; this transaction holds the job's row.

    A job in which the canary found nothing at all goes on: many a night begins with empty frames. The share stands in
    the event, and `status` and `watch` show it.
    """
    job_id = JobId(job.id)
    is_open = (shards.c.job_id == job_id, shards.c.first_idx < job.canary_items, shards.c.state.in_(OPEN_SHARDS))
    if db.execute(select(shards.c.id).where(*is_open).limit(1)).first() is not None:
        return
    change = update(jobs).where(jobs.c.id == job_id, jobs.c.state == JobState.CANARY)
    if not db.execute(change.values(state=JobState.RUNNING)).rowcount:
        return  # another relay judged it
    add_event(db, job_id, CANARY_DONE, asdict(_report(db, job)))
    if not judge_canary(db, job, job.canary_items, job.failed - job.forgiven):
        unhold(db, job_id, None)


def end_canaries(db: Connection) -> int:
    """Judge the canaries that ended while their job was stopped; those of running jobs are judged as they end."""
    is_open = select(shards.c.id).where(
        shards.c.job_id == jobs.c.id, shards.c.first_idx < jobs.c.canary_items, shards.c.state.in_(OPEN_SHARDS)
    )
    done = select(jobs).where(jobs.c.state == JobState.CANARY, ~is_open.exists()).order_by(jobs.c.id)
    found = db.execute(done.with_for_update(key_share=True)).all()
    for job in found:
        end_canary(db, job)
    return len(found)


def _report(db: Connection, job: Row[Any]) -> CanaryReport:
    decisions = decisions_of(db, JobId(job.id))
    now: float = db.execute(select(db_now())).scalar_one()
    started = now if job.started is None else job.started
    begun = max(started, min((row.created or started for row in decisions), default=started))
    items, left = job.canary_items, job.total - job.canary_items
    pace = items / max(now - begun, 1e-3)
    helpers = {row.worker_id for row in decisions}
    serving = sum(worker.serves(from_json(job.hardware)[0]) for worker in live_workers(db))
    first: DecisionRow | None = decisions[0] if decisions else None
    return CanaryReport(
        items=items,
        items_per_second=round(pace, 2),
        eta_low_s=round(left / pace / max(1.0, serving / max(1, len(helpers))), 1),
        eta_high_s=round(left * max(now - started, 1e-3) / items, 1),
        failed_share=job.failed / items,
        empty_share=_empty_share(db, job),
        memory_bytes=_memory(db, helpers),
        backend=None if first is None else first.backend,
        quantization=None if first is None else first.quantization,
        device=None if first is None else first.device,
        workers=len(helpers),
    )


def _empty_share(db: Connection, job: Row[Any]) -> float | None:
    query = select(outcomes.c.record).where(
        outcomes.c.job_id == job.id,
        outcomes.c.idx < job.canary_items,
        outcomes.c.frame == 0,
        outcomes.c.state.in_([OutcomeState.OK, OutcomeState.CACHED]),
    )
    records = [from_json(text) for text in db.execute(query).scalars()]
    finding = [record for record in records if record is not None and "confidence" in record]
    return sum(count_objects(record) == 0 for record in finding) / len(finding) if finding else None


def _memory(db: Connection, worker_ids: set[Any]) -> int | None:
    query = select(func.max(workers.c.memory_bytes)).where(workers.c.id.in_(sorted(worker_ids)))
    found: int | None = db.execute(query).scalar_one()
    return found
