"""What the relay repairs at each tick: leases of the dead, lost hints, deadly shards, jobs whose time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, insert, select, update

from jobstore.clock import db_now
from jobstore.counters import Counters, added, counters_of
from jobstore.endings import end_early, finish_shard
from jobstore.events import add_event
from jobstore.ids import new_id
from jobstore.leases import UNOWNED, is_held, items_left
from jobstore.openings import Stage, count_lost
from jobstore.schema import (
    OPEN_SHARDS,
    RUNNABLE_STATES,
    STOPPED_STATES,
    Item,
    JobId,
    JobState,
    Lease,
    OutcomeState,
    ShardId,
    ShardState,
)
from jobstore.steering import hold_if_stopped
from jobstore.tables import jobs, outcomes, shards
from jobstore.window import SUSPECT_DEATHS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: Stored with the outcome of an item that stood alone and still took its workers with it.
WORKER_LOST = "worker_lost"


def expire_leases(db: Connection, max_deaths: int) -> int:
    """Take back every shard whose lease has run out; split those that lost `max_deaths` workers. Give their number.

    `lease_until < now` stands in the write itself: a lease renewed since nobody looked stays.
    """
    return _take_back(db, max_deaths, shards.c.state == ShardState.LEASED, shards.c.lease_until < db_now())


def count_death(db: Connection, lease: Lease, max_deaths: int) -> bool:
    """Take one shard back from the owner that it ended, before its lease runs out. False: it was no longer his."""
    return _take_back(db, max_deaths, *is_held(lease)) == 1


def hints_overdue(db: Connection, queues: Collection[str], older_than_s: float) -> bool:
    """Say whether one of these queues has a hint that nobody took for so long."""
    overdue = select(shards.c.id).where(
        shards.c.state == ShardState.QUEUED,
        shards.c.queue.in_(sorted(queues)),
        shards.c.enqueued_at <= db_now() - older_than_s,
    )
    return db.execute(overdue.limit(1)).first() is not None


def requeue_lost(db: Connection, queues: Collection[str], older_than_s: float) -> int:
    """Make hints due again that are older than `older_than_s` and no longer stand in these (empty) Redis queues."""
    return db.execute(
        update(shards)
        .where(shards.c.state == ShardState.QUEUED, shards.c.queue.in_(sorted(queues)))
        .where(shards.c.enqueued_at <= db_now() - older_than_s)
        .values(state=ShardState.PENDING, enqueued_at=None)
    ).rowcount


def hinted_queues(db: Connection) -> list[str]:
    """List the queues that should hold hints; their number, not the backlog, is what this costs."""
    return list(db.execute(select(shards.c.queue).where(shards.c.state == ShardState.QUEUED).distinct()).scalars())


def forget_hints(db: Connection) -> int:
    """Make every hint due again: Redis lost its memory."""
    return db.execute(
        update(shards).where(shards.c.state == ShardState.QUEUED).values(state=ShardState.PENDING, enqueued_at=None)
    ).rowcount


def recall_outranked(db: Connection) -> int:
    """Take hints back that stand in a queue before work of a higher priority; Redis itself knows no order.

    Shards that may be deadly do not count as such work: they wait for each other, not for room.
    """
    higher, waiting, mine = jobs.alias("higher"), shards.alias("waiting"), jobs.alias("mine")
    priority = select(mine.c.priority).where(mine.c.id == shards.c.job_id).correlate(shards).scalar_subquery()
    has_work = (
        select(waiting.c.id)
        .where(waiting.c.job_id == higher.c.id, waiting.c.state == ShardState.PENDING)
        .where(waiting.c.queue == shards.c.queue, waiting.c.deaths < SUSPECT_DEATHS)
        .correlate(higher, shards)
        .exists()
    )
    is_outranked = (
        select(higher.c.id)
        .where(higher.c.state.in_(RUNNABLE_STATES), higher.c.priority > priority, has_work)
        .correlate(shards)
        .exists()
    )
    return db.execute(
        update(shards)
        .where(shards.c.state == ShardState.QUEUED, is_outranked)
        .values(state=ShardState.PENDING, attempt=shards.c.attempt + 1, enqueued_at=None)
    ).rowcount


def expire_jobs(db: Connection) -> list[JobId]:
    """End every job whose `expires` has passed, stopped or not; what it has no outcome for is skipped."""
    states = sorted(RUNNABLE_STATES | STOPPED_STATES | {JobState.DRAFT})
    over = select(jobs.c.id).where(jobs.c.state.in_(states), jobs.c.expires <= db_now()).order_by(jobs.c.id)
    message = "the job's time was over before this item's turn"
    return [
        JobId(job_id)
        for job_id in db.execute(over).scalars().all()
        if end_early(db, JobId(job_id), JobState.EXPIRED, "expired", message)
    ]


def _take_back(db: Connection, max_deaths: int, *conditions: ColumnElement[bool]) -> int:
    """Make leased shards due again and count a death for each whose items were begun; give their number."""
    is_open = shards.c.opening == Stage.OPEN
    # Who was lost before the model was open is read from the answer; those rows are cleaned below.
    kept = {"owner": case((is_open, None), else_=shards.c.owner), "opening": shards.c.opening}
    deaths = shards.c.deaths + case((is_open, 1), else_=0)
    values = {**UNOWNED, **kept, "state": ShardState.PENDING, "attempt": shards.c.attempt + 1, "deaths": deaths}
    rows = db.execute(update(shards).where(*conditions).values(values).returning(*shards.c)).all()
    begun, unopened = ([row for row in rows if (row.opening == Stage.OPEN) is wanted] for wanted in (True, False))
    if unopened:
        db.execute(update(shards).where(shards.c.id.in_([shard.id for shard in unopened])).values(UNOWNED))
        count_lost(db, unopened, max_deaths)
        begun = _still_due(db, begun)
    # All shard rows are held by now; job rows follow, in one order for every caller.
    for shard in sorted(begun, key=lambda row: (row.job_id, row.id)):
        if shard.deaths >= max_deaths:
            _narrow(db, shard, max_deaths)
    hold_if_stopped(db, {shard.job_id for shard in rows})
    return len(rows)


def _still_due(db: Connection, taken: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Read shards again: a class that was refused may have moved them, and the last one has ended their job."""
    ids = [shard.id for shard in taken]
    return list(db.execute(select(shards).where(shards.c.id.in_(ids), shards.c.state.in_(OPEN_SHARDS))))


def _narrow(db: Connection, shard: Row[Any], max_deaths: int) -> None:
    """Come closer to the item that kills: halve the shard, or give its last item up.

    An item that stands alone is tried once more than a shard: a verdict follows, and machines die too.
    """
    job_id = JobId(shard.job_id)
    left = items_left(db, job_id, shard.first_idx, shard.last_idx)
    if len(left) > 1:
        _split(db, shard, left, max_deaths)
        return
    if left and shard.deaths == max_deaths:
        return
    counted = counters_of(shard._mapping)  # noqa: SLF001 - public in SQLAlchemy
    for item in left:
        counted += _give_up(db, shard, item)
    finish_shard(db, ShardId(shard.id), job_id, counted)


def _split(db: Connection, shard: Row[Any], left: tuple[Item, ...], max_deaths: int) -> None:
    """Leave the shard the first half of what is left, and give the second half to a new one.

    The old shard keeps its counters. Both halves are as suspect as the whole was: one more death splits them again,
    and while one is in work the others wait, so that a neighbour of the guilty item does not share its deaths.
    """
    job_id = JobId(shard.job_id)
    middle = len(left) // 2
    moved = left[middle:]
    db.execute(
        update(shards)
        .where(shards.c.id == shard.id)
        .values(last_idx=moved[0].idx - 1, size=shards.c.size - len(moved), deaths=max_deaths - 1)
    )
    # This locks the job's row, so that the next `seq` is ours alone.
    db.execute(update(jobs).where(jobs.c.id == job_id).values(shards_left=jobs.c.shards_left + 1))
    seq = db.execute(select(func.max(shards.c.seq)).where(shards.c.job_id == job_id)).scalar_one() + 1
    db.execute(
        insert(shards).values(
            id=new_id(),
            job_id=job_id,
            seq=seq,
            first_idx=moved[0].idx,
            last_idx=shard.last_idx,
            size=len(moved),
            queue=shard.queue,
            hardware=shard.hardware,
            state=ShardState.PENDING,
            deaths=max_deaths - 1,
            created=db_now(),
        )
    )
    add_event(db, job_id, "shard_split", {"shard": shard.id, "items": len(left), "deaths": shard.deaths})


def _give_up(db: Connection, shard: Row[Any], item: Item) -> Counters:
    """Write the outcome of an item that takes its workers with it."""
    message = f"{shard.deaths} workers were lost while they worked on this item alone or beside others"
    counted = Counters(failed=1)
    db.execute(
        insert(outcomes).values(
            job_id=shard.job_id,
            idx=item.idx,
            state=OutcomeState.FAILED,
            error_code=WORKER_LOST,
            error_message=message,
            attempt=shard.attempt,
            created=db_now(),
        )
    )
    db.execute(update(shards).where(shards.c.id == shard.id).values(added(shards, counted)))
    add_event(db, JobId(shard.job_id), WORKER_LOST, {"item": item.idx, "uri": item.uri})
    return counted
