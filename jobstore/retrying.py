"""Running items of a job again, in the same job: their outcomes are taken back, and their shards open once more.

What holds after it is what held before: the job's counters and those of its open shards are together those of all
outcomes. A shard's own counters stand for its range only until it is split (`tables.shards.size`), so those that are
touched are counted anew from the outcomes in their range; what a split had counted elsewhere comes back to the job.
Locks are taken in the order of `endings`: shard rows, then the job's row.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, or_, select, true, update

from jobstore.clock import db_now
from jobstore.counters import NAMES, Counters, counters_of
from jobstore.encoding import count_objects, from_json, to_json
from jobstore.errors import InvalidJob
from jobstore.events import add_event, details_of
from jobstore.file_lock import name_files
from jobstore.leases import UNOWNED
from jobstore.queues import is_hardware, queue_name
from jobstore.ranges import joined
from jobstore.schema import ENDED_STATES, OPEN_SHARDS, JobId, JobState, OutcomeState, ShardState
from jobstore.steering import hold_if_stopped, job_row, open_failures, resume, state_to_go_on_in, unhold_class
from jobstore.tables import class_refusals, jobs, openings, outcomes, shards
from jobstore.wishes import check_wishes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RETRIED = "retried"


@dataclass(frozen=True, slots=True)
class Retry:
    """Which items run again, and how.

    Attributes:
        states: those with such an outcome: `failed`, `skipped` or both.
        codes: of these errors only; empty: whatever the error.
        batch_size: images a run from now on; None: as before.
        hardware: classes of the job from now on, best first; empty: as before.
    """

    states: frozenset[OutcomeState] = frozenset({OutcomeState.FAILED})
    codes: frozenset[str] = frozenset()
    batch_size: int | None = None
    hardware: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise `InvalidJob` for what cannot be."""
        problems = [] if self.batch_size is None else check_wishes({"batch_size": self.batch_size})
        if not self.states or not self.states <= {OutcomeState.FAILED, OutcomeState.SKIPPED}:
            problems.append(f"states {sorted(self.states)}: expected failed, skipped or both; what is ok stays")
        if len(set(self.hardware)) < len(self.hardware) or not all(map(is_hardware, self.hardware)):
            problems.append(f"hardware {', '.join(self.hardware)}: expected each class once, such as cpu or gpu-sm90")
        if problems:
            raise InvalidJob("; ".join(problems))


def retry(db: Connection, job_id: JobId, asked: Retry, event_id: str) -> int:
    """Open again what meets `asked`, and let the job run; give the number of items. What a worker holds is left alone.

    A job that had ended, or needed attention, runs; a paused one stays paused. Failures that stay are forgiven where it
    had ended or was stopped by them, and classes that had refused an ended job, or that are asked for, are tried again.

    Args:
        event_id: made before the first try: where the event exists, that try was committed and only its reply was lost.
    """
    name_files(db)
    earlier = details_of(db, event_id)
    if earlier is not None:
        return int(earlier["items"])
    reopened = _locked(db, job_id, _has_wanted(job_id, asked), shards.c.state != ShardState.LEASED)
    if not reopened:
        job_row(db, job_id)
        return 0
    # Only for the order of locks: what waits for a model that is tried again is let go below.
    _locked(db, job_id, shards.c.state == ShardState.HELD, shards.c.hardware.in_(asked.hardware))
    touched = {row.id: row for row in (*_locked(db, job_id, shards.c.state.in_(OPEN_SHARDS), _is_begun()), *reopened)}
    job = db.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one()
    before = _counted_by_range(db, job_id)
    objects = _take_back(db, job_id, asked, joined((row.first_idx, row.last_idx) for row in reopened))
    after = _counted_by_range(db, job_id)
    back = sum((_old(row) for row in touched.values() if row.state in OPEN_SHARDS), Counters(objects=-objects))
    back += _negative(sum((before[key] for key in touched if key in before), Counters()))
    _write_shards(db, [(row, after.get(key, Counters())) for key, row in touched.items()])
    is_new = sum(row.state not in OPEN_SHARDS for row in reopened)
    _write_job(db, job, asked, counters_of(job._mapping) + back, is_new)  # noqa: SLF001 - public in SQLAlchemy
    _open(db, job_id, reopened)
    for hardware in asked.hardware:
        unhold_class(db, job_id, hardware)
    items = sum(before[row.id].ended - after.get(row.id, Counters()).ended for row in reopened)
    _tell(db, job, asked, {"items": items, "shards": len(reopened)}, event_id)
    if job.state == JobState.NEEDS_ATTENTION:
        resume(db, job_id, None, None)
    return items


def _locked(db: Connection, job_id: JobId, *conditions: ColumnElement[bool]) -> Sequence[Row[Any]]:
    query = select(shards).where(shards.c.job_id == job_id, *conditions).order_by(shards.c.id)
    return db.execute(query.with_for_update()).all()


def _is_wanted(job_id: JobId, asked: Retry) -> ColumnElement[bool]:
    its = and_(outcomes.c.job_id == job_id, outcomes.c.frame == 0, outcomes.c.state.in_(sorted(asked.states)))
    return and_(its, outcomes.c.error_code.in_(sorted(asked.codes))) if asked.codes else its


def _has_wanted(job_id: JobId, asked: Retry) -> ColumnElement[bool]:
    within = outcomes.c.idx.between(shards.c.first_idx, shards.c.last_idx)
    return select(outcomes.c.idx).where(_is_wanted(job_id, asked), within).correlate(shards).exists()


def _is_begun() -> ColumnElement[bool]:
    """Whether a shard has counted anything, or was split: only then its counters may be those of another's range."""
    return or_(shards.c.size != shards.c.last_idx - shards.c.first_idx + 1, *(shards.c[name] > 0 for name in NAMES))


def _take_back(db: Connection, job_id: JobId, asked: Retry, runs: Sequence[tuple[int, int]]) -> int:
    """Delete the outcomes of what is wanted, a video's with those of its frames; give the objects that were in them."""
    objects = 0
    for first, last in runs:
        wanted = select(outcomes.c.idx).where(_is_wanted(job_id, asked), outcomes.c.idx.between(first, last))
        its = (outcomes.c.job_id == job_id, outcomes.c.idx.between(first, last), outcomes.c.idx.in_(wanted))
        records = db.execute(select(outcomes.c.record).where(*its, outcomes.c.record.is_not(None)))
        objects += sum(count_objects(from_json(text)) for (text,) in records)
        db.execute(delete(outcomes).where(*its))
    return objects


def _counted_by_range(db: Connection, job_id: JobId) -> dict[str, Counters]:
    """Count the outcomes in each shard's range, but for their objects."""
    is_frame = (outcomes.c.frame > 0).label("is_frame")
    within = and_(outcomes.c.job_id == job_id, outcomes.c.idx.between(shards.c.first_idx, shards.c.last_idx))
    query = select(shards.c.id, outcomes.c.state, is_frame, func.count().label("n")).join(outcomes, within)
    grouped = query.where(shards.c.job_id == job_id).group_by(shards.c.id, outcomes.c.state, is_frame)
    counted: dict[str, Counters] = {}
    for row in db.execute(grouped):
        more = Counters(frames=row.n) if row.is_frame else replace(Counters(), **{row.state: row.n})
        counted[row.id] = counted.get(row.id, Counters()) + more
    return counted


def _old(row: Row[Any]) -> Counters:
    return counters_of(row._mapping)  # noqa: SLF001 - public in SQLAlchemy


def _negative(counted: Counters) -> Counters:
    return Counters(*(-getattr(counted, name) for name in NAMES))


def _write_shards(db: Connection, counted: Sequence[tuple[Row[Any], Counters]]) -> None:
    """Let each shard stand for its range alone."""
    change = update(shards).where(shards.c.id == bindparam("shard"))
    change = change.values(size=shards.c.last_idx - shards.c.first_idx + 1)
    change = change.values({shards.c[name]: bindparam(f"its_{name}") for name in NAMES})
    rows = [{"shard": row.id, **{f"its_{name}": n for name, n in asdict(more).items()}} for row, more in counted]
    db.execute(change, rows)


def _write_job(db: Connection, job: Row[Any], asked: Retry, counted: Counters, new_shards: int) -> None:
    has_ended = job.state in ENDED_STATES
    values: dict[str, Any] = {**asdict(counted), "shards_left": jobs.c.shards_left + new_shards}
    if asked.batch_size is not None:
        values["wishes"] = to_json({**from_json(job.wishes), "batch_size": asked.batch_size})
    if asked.hardware:
        values["hardware"] = to_json(asked.hardware)
    if has_ended:
        values |= {"state": state_to_go_on_in(db, job), "reason": None, "message": None, "finished": None}
        now: float = db.execute(select(db_now())).scalar_one()
        values["expires"] = None if job.expires is not None and job.expires <= now else job.expires
    for table in (class_refusals, openings):
        is_tried = true() if has_ended else table.c.hardware.in_(asked.hardware)
        db.execute(delete(table).where(table.c.job_id == job.id, is_tried))
    db.execute(update(jobs).where(jobs.c.id == job.id).values(values))
    failed = counted.failed + open_failures(db, JobId(job.id))
    forgiven = failed if has_ended else min(job.forgiven, failed)
    db.execute(update(jobs).where(jobs.c.id == job.id).values(forgiven=forgiven))


def _open(db: Connection, job_id: JobId, reopened: Sequence[Row[Any]]) -> None:
    job = job_row(db, job_id)
    refused = set(db.execute(select(class_refusals.c.hardware).where(class_refusals.c.job_id == job_id)).scalars())
    classes: list[str] = from_json(job.hardware)
    hardware = next((name for name in classes if name not in refused), classes[0])
    fresh = {**UNOWNED, "deaths": 0, "deaths_alone": 0, "offers": 0, "ended": None, "attempt": shards.c.attempt + 1}
    place = {"hardware": hardware, "queue": queue_name(hardware, job.model)}
    change = update(shards).where(shards.c.id == bindparam("shard")).values(**fresh, **place, state=bindparam("now"))
    db.execute(change, [{"shard": row.id, "now": _state(job, row)} for row in reopened])
    hold_if_stopped(db, [job_id])


def _state(job: Row[Any], shard: Row[Any]) -> ShardState:
    is_later = job.state == JobState.CANARY and shard.first_idx >= job.canary_items
    return ShardState.HELD if is_later else ShardState.PENDING


def _tell(db: Connection, job: Row[Any], asked: Retry, counts: Mapping[str, int], event_id: str) -> None:
    how: dict[str, Any] = {"from": job.state, "states": sorted(asked.states), "codes": sorted(asked.codes)}
    how |= {} if asked.batch_size is None else {"batch_size": asked.batch_size}
    how |= {"hardware": asked.hardware} if asked.hardware else {}
    add_event(db, JobId(job.id), RETRIED, {**counts, **how}, event_id)
