"""Which of its hardware classes a job's shards wait for. It lists its classes, best first; shards begin at the first.

A shard moves on when the model does not open on its class, when nobody serves the class, and when workers of another
class of the list are idle while more waits than a window holds (and back, once those of a better class are idle).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, storable
from jobstore.endings import end_early
from jobstore.events import add_event
from jobstore.queues import queue_name
from jobstore.schema import ENDED_STATES, OPEN_SHARDS, RUNNABLE_STATES, WAITING_SHARDS, JobId, JobState, ShardState
from jobstore.serving import ALIVE_S, LiveWorker, live_workers
from jobstore.steering import unhold_class
from jobstore.tables import class_refusals, jobs, openings, shards
from jobstore.upsert import insert_or_ignore
from jobstore.waiting import words_of_trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Move:
    """Shards of one job that should wait for another class; `shards` None: all that wait."""

    source: str
    target: str
    shards: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Serving:
    """Classes by who serves them: somebody now, somebody lately, and somebody who has nothing to do."""

    now: frozenset[str]
    lately: frozenset[str]
    idle: frozenset[str]


def refuse_class(db: Connection, job_id: JobId, hardware: str, code: str, message: str) -> str | None:
    """Note that the job's model does not open on a class; give the class on which the job goes on.

    None: no class is left, and the job has failed with the reasons of all; or it had ended before.
    """
    job = db.execute(select(jobs).where(jobs.c.id == job_id)).one()
    if job.state in ENDED_STATES:
        return None
    row = {"job_id": job_id, "hardware": hardware, "code": code, "message": storable(message), "created": db_now()}
    fresh = insert_or_ignore(db, class_refusals).values(row).returning(class_refusals.c.hardware)
    if db.execute(fresh).scalar_one_or_none() is not None:
        add_event(db, job_id, "class_refused", {"hardware": hardware, "code": code, "message": message})
    db.execute(delete(openings).where(openings.c.job_id == job_id, openings.c.hardware == hardware))
    classes: list[str] = from_json(job.hardware)
    refusals = {r.hardware: r for r in db.execute(select(class_refusals).where(class_refusals.c.job_id == job_id))}
    left = [name for name in classes if name not in refusals]
    if not left:
        reasons = "\n".join(f"{name}: {refusals[name].message}" for name in classes if name in refusals)
        end_early(db, job_id, JobState.FAILED, code, message if len(classes) == 1 else reasons)
        return None
    # Shards at work move too: they keep their owner, and should it give them back, they wait for the new class.
    _move(db, job, Move(hardware, left[0], None, code), OPEN_SHARDS)
    unhold_class(db, job_id, left[0])  # those that waited for the model on the class before
    return left[0]


def reroute(db: Connection, window: int, grace_s: float) -> int:
    """Move the waiting shards of jobs with several classes to where somebody works on them; give their number.

    Args:
        window: hints that a queue holds; as many shards spill over to an idle class at a time.
        grace_s: a class counts as unserved after this time without a sign of any worker.
    """
    fleet = live_workers(db, max(grace_s, ALIVE_S))
    columns = (jobs.c.id, jobs.c.model, jobs.c.hardware, (db_now() - jobs.c.created).label("age_s"))
    several = select(*columns).where(jobs.c.state.in_(RUNNABLE_STATES), jobs.c.hardware.contains(","))
    found = db.execute(several.order_by(jobs.c.id)).all()
    if not found:
        return 0
    serving = _serving(db, fleet, grace_s)
    # While every class is served and nobody is idle, nothing can move, and no shard is counted.
    found = [job for job in found if _may_move(from_json(job.hardware), serving)]
    waiting, refused = _waiting(db, found), _refused(db, found)
    moved = 0
    for job in found:
        classes = [name for name in from_json(job.hardware) if (job.id, name) not in refused]
        lately = serving.lately if job.age_s > grace_s else frozenset(classes)
        mine = Serving(serving.now, lately, serving.idle)
        moves = plan_moves(classes, {name: n for (owner, name), n in waiting.items() if owner == job.id}, mine, window)
        moved += sum(_move(db, job, move, WAITING_SHARDS) for move in moves)
    return moved


def plan_moves(classes: Sequence[str], waiting: Mapping[str, int], serving: Serving, window: int) -> list[Move]:
    """Say what should move. Pure.

    Args:
        classes: the job's classes that have not refused it, best first.
        waiting: shards that wait, by class; also of classes that have refused it.
    """
    moves = []
    for source, number in waiting.items():
        is_lost = source not in classes or source not in serving.lately
        served = [name for name in classes if name in serving.now and name != source]
        if is_lost and served:
            moves.append(Move(source, served[0], None, "unserved"))
            continue
        idle = [name for name in served if name in serving.idle and not waiting.get(name)]
        better = [name for name in idle if source in classes and classes.index(name) < classes.index(source)]
        if better:
            moves.append(Move(source, better[0], window, "idle"))
        elif idle and number > window:
            moves.append(Move(source, idle[0], window, "idle"))
    return moves


def why_waiting(db: Connection, job_id: JobId) -> str | None:
    """Say why nothing of a running job moves: nobody serves its classes, or its model is away. None: it may move."""
    query = select(shards.c.hardware).where(shards.c.job_id == job_id, shards.c.state.in_(WAITING_SHARDS)).distinct()
    classes = sorted(db.execute(query).scalars())
    fleet = live_workers(db)
    unserved = [name for name in classes if not any(worker.serves(name) for worker in fleet)]
    if unserved and unserved == classes:
        return f"no worker serves {' or '.join(unserved)}"
    return None if classes else _trouble(db, job_id)


def _trouble(db: Connection, job_id: JobId) -> str | None:
    """Say what keeps a job's model from being opened where its shards are held for it."""
    wait = (openings.c.next_try - db_now()).label("wait_s")
    query = select(openings.c.hardware, openings.c.message, wait).join(jobs, jobs.c.id == openings.c.job_id)
    is_meant = (openings.c.job_id == job_id, openings.c.next_try.is_not(None), jobs.c.state.in_(RUNNABLE_STATES))
    is_worked_on = select(shards.c.id).where(shards.c.job_id == job_id, shards.c.state == ShardState.LEASED).exists()
    rows = db.execute(query.where(*is_meant, ~is_worked_on).order_by(openings.c.hardware))
    return "; ".join(words_of_trouble(row.hardware, row.message, row.wait_s) for row in rows) or None


def _move(db: Connection, job: Row[Any], move: Move, states: Sequence[ShardState]) -> int:
    """Move shards, the last ones first. Hints of the old queue are fenced off; who holds a shard keeps it."""
    is_meant: ColumnElement[bool] = and_(
        shards.c.job_id == job.id, shards.c.hardware == move.source, shards.c.state.in_(states)
    )
    if move.shards is not None:
        last = select(shards.c.id).where(is_meant).order_by(shards.c.seq.desc()).limit(move.shards)
        is_meant = and_(is_meant, shards.c.id.in_(last))
    is_queued = shards.c.state == ShardState.QUEUED
    change = (
        update(shards)
        .where(is_meant)
        .values(
            hardware=move.target,
            queue=queue_name(move.target, job.model),
            state=case((is_queued, str(ShardState.PENDING)), else_=shards.c.state),
            attempt=shards.c.attempt + case((is_queued, 1), else_=0),
            enqueued_at=None,
        )
    )
    number = db.execute(change).rowcount
    if number:
        details = {"from": move.source, "to": move.target, "shards": number, "why": move.why}
        add_event(db, JobId(job.id), "rerouted", details)
    return number


def _serving(db: Connection, fleet: Sequence[LiveWorker], grace_s: float) -> Serving:
    """Count a class as idle only if nothing at all waits for it: a worker is idle also between two shards."""
    working = [worker for worker in fleet if worker.is_working and worker.age_s <= ALIVE_S]
    seen = [worker for worker in fleet if worker.age_s <= grace_s]
    free = {name for worker in working if not worker.is_busy for name in worker.classes}
    return Serving(
        now=frozenset(name for worker in working for name in worker.classes),
        lately=frozenset(name for worker in (*seen, *working) for name in worker.classes),
        idle=frozenset(name for name in free if not _has_waiting(db, name)),
    )


def _has_waiting(db: Connection, hardware: str) -> bool:
    query = select(shards.c.id).where(shards.c.state.in_(WAITING_SHARDS), shards.c.hardware == hardware)
    return db.execute(query.limit(1)).first() is not None


def _may_move(classes: Sequence[str], serving: Serving) -> bool:
    return bool(serving.idle.intersection(classes)) or not serving.lately.issuperset(classes)


def _waiting(db: Connection, found: Sequence[Row[Any]]) -> Counter[tuple[str, str]]:
    query = (
        select(shards.c.job_id, shards.c.hardware, func.count().label("n"))
        .where(shards.c.job_id.in_([job.id for job in found]), shards.c.state.in_(WAITING_SHARDS))
        .group_by(shards.c.job_id, shards.c.hardware)
    )
    return Counter({(row.job_id, row.hardware): row.n for row in db.execute(query)})


def _refused(db: Connection, found: Sequence[Row[Any]]) -> set[tuple[str, str]]:
    query = select(class_refusals.c.job_id, class_refusals.c.hardware)
    rows = db.execute(query.where(class_refusals.c.job_id.in_([job.id for job in found])))
    return {(row.job_id, row.hardware) for row in rows}
