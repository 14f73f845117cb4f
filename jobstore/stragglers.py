"""Shards that a slow worker keeps a whole job waiting for: offered again near the job's end, the slow owner fenced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, func, select, update

from jobstore.clock import db_now
from jobstore.events import add_event
from jobstore.leases import UNOWNED
from jobstore.schema import RUNNABLE_STATES, WAITING_SHARDS, JobId, ShardState
from jobstore.serving import ALIVE_S, live_workers
from jobstore.steering import hold_if_stopped
from jobstore.tables import jobs, shards, workers

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A shard is slow that takes so many times what its job's shards took, item for item, and at least so many seconds.
SLOW_FACTOR, SLOW_AT_LEAST_S = 3.0, 5.0
#: A shard is taken from a slow owner so many times at most.
MAX_OFFERS = 2


def offer_stragglers(db: Connection, slow_factor: float = SLOW_FACTOR, at_least_s: float = SLOW_AT_LEAST_S) -> int:
    """Offer slow shards of jobs of which nothing waits any more to idle workers; give their number.

    What the slow owner has written stays; what it writes later is refused by the fence. A shard whose owner fell
    silent is offered once before its lease runs out: from the second time on the death has to be counted, because the
    shard itself may be what kills.
    """
    idle = [worker for worker in live_workers(db) if worker.is_working and not worker.is_busy]
    if not idle:
        return 0
    offered: list[Row[Any]] = []
    slow = [row for row in _last_ones(db) if _is_slow(row, slow_factor, at_least_s)]
    for row in slow:
        helper = next((worker for worker in idle if worker.serves(row.hardware)), None)
        if helper is None:
            continue
        change = (
            update(shards)
            .where(shards.c.id == row.id, shards.c.attempt == row.attempt, shards.c.state == ShardState.LEASED)
            .values(state=ShardState.PENDING, attempt=row.attempt + 1, offers=shards.c.offers + 1, **UNOWNED)
        )
        if db.execute(change).rowcount:
            idle.remove(helper)
            offered.append(row)
    _tell(db, offered)
    hold_if_stopped(db, {row.job_id for row in offered})
    return len(offered)


def _last_ones(db: Connection) -> Sequence[Row[Any]]:
    """Leased shards of jobs of which nothing waits, with their age and what their job's ended shards took."""
    waiting = shards.alias("waiting")
    is_waiting = (waiting.c.job_id == shards.c.job_id, waiting.c.state.in_(WAITING_SHARDS))
    done = shards.alias("done")
    typical = (
        select(func.avg((done.c.ended - done.c.leased_at) / done.c.size))
        .where(done.c.job_id == shards.c.job_id, done.c.state == ShardState.DONE)
        .scalar_subquery()
    )
    query = (
        select(
            shards.c.id,
            shards.c.job_id,
            shards.c.attempt,
            shards.c.owner,
            shards.c.hardware,
            shards.c.size,
            shards.c.offers,
            shards.c.deaths,
            (db_now() - shards.c.leased_at).label("age_s"),
            (db_now() - workers.c.heartbeat).label("silent_s"),
            typical.label("typical_s"),
        )
        .join(jobs, jobs.c.id == shards.c.job_id)
        .outerjoin(workers, workers.c.id == shards.c.owner)
        .where(shards.c.state == ShardState.LEASED, shards.c.offers < MAX_OFFERS, jobs.c.state.in_(RUNNABLE_STATES))
        .where(~select(waiting.c.id).where(*is_waiting).exists())
        .order_by(shards.c.leased_at, shards.c.id)
    )
    return db.execute(query).all()


def _is_slow(row: Row[Any], slow_factor: float, at_least_s: float) -> bool:
    is_silent = row.silent_s is not None and row.silent_s > ALIVE_S
    if is_silent and row.offers == 0 and row.deaths == 0:
        return True
    if row.typical_s is None or row.age_s is None:
        return False
    return bool(row.age_s >= max(at_least_s, slow_factor * row.typical_s * row.size))


def _tell(db: Connection, offered: Sequence[Row[Any]]) -> None:
    for row in offered:
        details = {"shard": row.id, "owner": row.owner, "age_s": row.age_s, "typical_s": row.typical_s}
        add_event(db, JobId(row.job_id), "straggler_offered", details)
