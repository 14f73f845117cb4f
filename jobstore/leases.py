"""Taking, keeping and giving back shards. Every statement carries the fencing token in its WHERE clause."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, exists, select, tuple_, update

from jobstore.clock import db_now
from jobstore.counters import counters_of
from jobstore.deserving import most_deserving
from jobstore.encoding import clip_of, from_json
from jobstore.endings import finish_shard
from jobstore.events import add_events
from jobstore.schema import (
    RUNNABLE_STATES,
    WAITING_SHARDS,
    Item,
    JobId,
    Lease,
    OutcomeState,
    Renewal,
    ShardId,
    ShardState,
    WorkerId,
)
from jobstore.steering import hold_if_stopped
from jobstore.tables import items, jobs, outcomes, shards
from jobstore.window import SUSPECT_DEATHS
from videos.options import VideoOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row
    from sqlalchemy.sql.dml import ReturningUpdate

#: What a shard looks like that nobody works on.
UNOWNED = {"owner": None, "lease_until": None, "leased_at": None, "enqueued_at": None, "opening": 0}


def lease_shard(db: Connection, shard_id: ShardId, attempt: int, owner: WorkerId, lease_s: float) -> Lease | None:
    """Take the most deserving shard of the hinted one's queue, or None: the hint was late, doubled, or the job stopped.

    A hint is a doorbell: while its shard waits it is worth one shard, and which one is decided now. The hinted shard
    waits for another hint when it was not the one; the taken shard's own hint is worth nothing any more.
    """
    chosen = most_deserving(db, shard_id, attempt)
    if chosen is None or chosen.id == shard_id:
        return _take(db, shard_id, attempt, owner, lease_s)
    lease = _take(db, ShardId(chosen.id), chosen.attempt, owner, lease_s)
    # Who holds the row at this moment is leasing, moving or holding it, and waiting for him could be a deadlock.
    mine = select(shards.c.id).where(shards.c.id == shard_id, shards.c.attempt == attempt)
    mine = mine.where(shards.c.state == ShardState.QUEUED).with_for_update(skip_locked=True)
    db.execute(update(shards).where(shards.c.id.in_(mine)).values(state=ShardState.PENDING, enqueued_at=None))
    return lease


def _take(db: Connection, shard_id: ShardId, attempt: int, owner: WorkerId, lease_s: float) -> Lease | None:
    is_running = exists().where(jobs.c.id == shards.c.job_id, jobs.c.state.in_(RUNNABLE_STATES))
    taken = db.execute(
        taken_by(owner, lease_s)
        .where(shards.c.id == shard_id, shards.c.attempt == attempt, is_running)
        .where(shards.c.state.in_(WAITING_SHARDS))
    ).one_or_none()
    if taken is None:
        return None
    left = items_left(db, JobId(taken.job_id), taken.first_idx, taken.last_idx)
    if not left:
        finish_shard(db, shard_id, JobId(taken.job_id), counters_of(taken._mapping))  # noqa: SLF001 - public in SQLAlchemy
        return None
    return leases_of(db, [(taken, left)])[0]


def taken_by(owner: WorkerId, lease_s: float) -> ReturningUpdate[Any]:
    """Give the UPDATE by which shards become an owner's; the caller says which, and that they wait."""
    return (
        update(shards)
        .values(state=ShardState.LEASED, owner=owner, leased_at=db_now(), lease_until=db_now() + lease_s)
        .returning(*shards.c)
    )


def renew(db: Connection, owner: WorkerId, held: Sequence[tuple[ShardId, int]], lease_s: float) -> Renewal:
    """Lengthen the leases on `(shard, attempt)`; say which are still this owner's, and which it should give back.

    Those of stopped jobs, and as many as work of a higher priority waits for, those of the lowest priority first.
    """
    if not held:
        return Renewal()
    rows = db.execute(
        update(shards)
        .where(tuple_(shards.c.id, shards.c.attempt).in_([(shard, attempt) for shard, attempt in held]))
        .where(shards.c.owner == owner, shards.c.state == ShardState.LEASED)
        .values(lease_until=db_now() + lease_s)
        .returning(shards.c.id, shards.c.job_id, shards.c.queue)
    ).all()
    runs = select(jobs.c.id, jobs.c.priority).where(
        jobs.c.id.in_({row.job_id for row in rows}), jobs.c.state.in_(RUNNABLE_STATES)
    )
    priorities: dict[str, int] = {row.id: row.priority for row in db.execute(runs)}
    kept = frozenset(ShardId(row.id) for row in rows)
    stopped = frozenset(ShardId(row.id) for row in rows if row.job_id not in priorities)
    ranked = [(priorities[row.job_id], row.queue, ShardId(row.id)) for row in rows if row.job_id in priorities]
    return Renewal(kept, stopped | outranked(sorted(ranked), _more_urgent(db, ranked)))


def outranked(held: Sequence[tuple[int, str, ShardId]], waiting: Sequence[tuple[int, str]]) -> frozenset[ShardId]:
    """Say which shards should make room. Pure.

    Args:
        held: priority, queue and shard, the lowest priority first.
        waiting: priority and queue of each shard that waits.
    """
    left, given_back = sorted(waiting, reverse=True), set()
    for priority, queue, shard_id in held:
        taker = next((one for one in left if one[1] == queue and one[0] > priority), None)
        if taker is not None:
            left.remove(taker)
            given_back.add(shard_id)
    return frozenset(given_back)


def _more_urgent(db: Connection, held: Sequence[tuple[int, str, ShardId]]) -> list[tuple[int, str]]:
    """Give priority and queue of what waits in these queues before the least of what is held, as much as matters.

    Shards that may be deadly do not count: they wait for each other, not for room.
    """
    if not held:
        return []
    query = (
        select(jobs.c.priority, shards.c.queue)
        .join(shards, shards.c.job_id == jobs.c.id)
        .where(jobs.c.state.in_(RUNNABLE_STATES), jobs.c.priority > min(priority for priority, _, _ in held))
        .where(shards.c.state.in_(WAITING_SHARDS), shards.c.queue.in_(sorted({queue for _, queue, _ in held})))
        .where(shards.c.deaths < SUSPECT_DEATHS)
        .order_by(jobs.c.priority.desc())
        .limit(len(held))
    )
    return [(row.priority, row.queue) for row in db.execute(query)]


def release_shard(db: Connection, lease: Lease) -> bool:
    """Give an unfinished shard back; no death is counted. False: it was no longer ours."""
    given_back = db.execute(
        update(shards).where(*is_held(lease)).values(state=ShardState.PENDING, attempt=shards.c.attempt + 1, **UNOWNED)
    )
    if not given_back.rowcount:
        return False
    hold_if_stopped(db, [lease.job_id])
    return True


def is_held(lease: Lease) -> tuple[ColumnElement[bool], ...]:
    """The fence: conditions that only the owner of the newest attempt meets."""
    return (
        shards.c.id == lease.shard_id,
        shards.c.attempt == lease.attempt,
        shards.c.owner == lease.owner,
        shards.c.state == ShardState.LEASED,
    )


def are_held(leases: Sequence[Lease]) -> tuple[ColumnElement[bool], ...]:
    """The fence of several shards at once."""
    tokens = [(lease.shard_id, lease.attempt, lease.owner) for lease in leases]
    return (
        shards.c.id.in_([lease.shard_id for lease in leases]),  # what the primary key finds
        tuple_(shards.c.id, shards.c.attempt, shards.c.owner).in_(tokens),
        shards.c.state == ShardState.LEASED,
    )


def items_left(db: Connection, job_id: JobId, first_idx: int, last_idx: int) -> tuple[Item, ...]:
    """List the items of a closed range that have no outcome yet."""
    # Not a correlated EXISTS: on PostgreSQL's fresh tables, without statistics, that visits the job's every outcome.
    ended = select(outcomes.c.idx).where(
        outcomes.c.job_id == job_id, outcomes.c.idx.between(first_idx, last_idx), outcomes.c.frame == 0
    )
    query = (
        select(items.c.idx, items.c.uri, items.c.start_s, items.c.end_s)
        .where(items.c.job_id == job_id, items.c.idx.between(first_idx, last_idx), items.c.idx.not_in(ended))
        .order_by(items.c.idx)
    )
    left = [Item(row.idx, row.uri, clip_of(row.start_s, row.end_s)) for row in db.execute(query)]
    begun = _frames_done(db, job_id, [item.idx for item in left if item.clip is not None])
    return tuple(replace(item, frames=begun[item.idx]) if item.idx in begun else item for item in left)


def _frames_done(db: Connection, job_id: JobId, videos: Sequence[int]) -> dict[int, dict[int, OutcomeState]]:
    """Give the frames that an earlier attempt wrote, by item, of these videos."""
    begun: dict[int, dict[int, OutcomeState]] = {}
    if videos:
        query = select(outcomes.c.idx, outcomes.c.frame, outcomes.c.state).where(
            outcomes.c.job_id == job_id, outcomes.c.idx.between(videos[0], videos[-1]), outcomes.c.frame > 0
        )
        for idx, frame, state in db.execute(query):
            begun.setdefault(idx, {})[frame] = OutcomeState(state)
    return begun


def leases_of(db: Connection, taken: Sequence[tuple[Row[Any], tuple[Item, ...]]]) -> list[Lease]:
    """Make the leases of shards that this transaction has taken, with the items left of each; start their jobs."""
    job_ids = sorted({JobId(shard.job_id) for shard, _ in taken})
    fresh = update(jobs).where(jobs.c.id.in_(job_ids), jobs.c.started.is_(None)).values(started=db_now())
    started = set(db.execute(fresh.returning(jobs.c.id)).scalars())
    owners = {shard.job_id: shard.owner for shard, _ in taken}
    add_events(db, [(job_id, "started", {"worker": owners[job_id]}) for job_id in job_ids if job_id in started])
    wanted = select(
        jobs.c.id, jobs.c.tenant, jobs.c.model, jobs.c.params, jobs.c.wishes, jobs.c.video, jobs.c.use_cache
    )
    found = {job.id: job for job in db.execute(wanted.where(jobs.c.id.in_(job_ids)))}
    return [_lease(shard, left, found[shard.job_id]) for shard, left in taken]


def _lease(shard: Row[Any], left: tuple[Item, ...], job: Any) -> Lease:
    return Lease(
        shard_id=ShardId(shard.id),
        job_id=JobId(shard.job_id),
        tenant=job.tenant,
        attempt=shard.attempt,
        owner=WorkerId(shard.owner),
        model=job.model,
        params=from_json(job.params),
        wishes=from_json(job.wishes),
        items=left,
        total=shard.size,
        hardware=shard.hardware,
        queue=shard.queue,
        deaths=shard.deaths,
        video=VideoOptions(**(from_json(job.video) or {})),
        use_cache=bool(job.use_cache),
    )
