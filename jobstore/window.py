"""Which shards go to Redis next: one statement, the same for submit, for a finished shard and for the relay's tick.

Only a window of hints stands in a queue, so a cancel, a priority and a small job behind a big one take effect at once.
A job that has nothing in its queue's window yet gets its first place there even when the window is full, as long as no
more than two windows stand in it: hints are doorbells (`jobstore.deserving`), so the next one that rings serves it.
Order within a queue: priority, then fair shares of tenants by their weights; a tenant's own jobs by deadline, then in
turns, then by age. A share counts what is already queued or leased, divided by the tenant's weight (stride scheduling,
Waldspurger and Weihl 1995); otherwise the oldest job would win every single place that becomes free.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    Label,
    Row,
    Update,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    true,
    update,
)

from jobstore.clock import db_now
from jobstore.schema import RUNNABLE_STATES, Hint, ShardId, ShardState
from jobstore.tables import jobs, shards, tenants

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A shard that lost this many workers may be what kills them. Of those, a queue has one in work at a time, so that
#: a poisonous item cannot take innocent neighbours of the same process down again and again.
SUSPECT_DEATHS = 2
#: Name of the parameter of statements for one queue.
IN_QUEUE = "in_queue"
_NO_STOP = 2**31 - 1
#: Seconds since the epoch that no deadline reaches; NULLs sort differently in the two databases.
NO_DEADLINE = 1e18


def release(db: Connection, window: int, queue: str | None) -> list[Hint]:
    """Mark the next shards as queued, up to `window` a queue, and give their hints in the order to send them."""
    statement = release_statement(window, of_one_queue=queue is not None)
    rows = db.execute(statement, {} if queue is None else {IN_QUEUE: queue}).all()
    return [Hint(row.queue, ShardId(row.id), row.attempt) for row in _in_turn(rows)]


@lru_cache(maxsize=8)  # building it takes 1.5 ms, a third of a call
def release_statement(window: int, *, of_one_queue: bool) -> Update:
    """Build the statement for all queues, or for the one that `IN_QUEUE` is bound to; one a queue would fill memory.

    The outer `state = pending` is what makes two concurrent callers release nothing twice.
    """
    load = _load()
    ranked = _ranked(_heads(window, of_one_queue), load, of_one_queue)
    room = select(load.c.queue, func.sum(load.c.queued).label("queued")).group_by(load.c.queue).cte("room")
    left = window - func.coalesce(room.c.queued, 0)
    is_newcomer = and_(left <= 0, ranked.c.turn == 1, ranked.c.place <= left + window)
    chosen = (
        select(ranked.c.id)
        .outerjoin_from(ranked, room, room.c.queue == ranked.c.queue)
        .where(or_(ranked.c.place <= left, is_newcomer))
    )
    return (
        update(shards)
        .where(shards.c.state == ShardState.PENDING, shards.c.id.in_(chosen))
        .values(state=ShardState.QUEUED, enqueued_at=db_now())
        .returning(*_HINT_COLUMNS)
    )


@lru_cache(maxsize=8)
def in_line(count: int) -> CTE:
    """Give the ids of the first `count` pending shards of the queue that `IN_QUEUE` is bound to, with their `place`.

    Their order is that of the window.
    """
    ranked = _ranked(_heads(count, of_one_queue=True), _load(), of_one_queue=True)
    return select(ranked.c.id, ranked.c.place).where(ranked.c.place <= count).cte("in_line")


def _of_job(column: Column[Any]) -> Label[Any]:
    return select(column).where(jobs.c.id == shards.c.job_id).scalar_subquery().label(column.name)


_HINT_COLUMNS = (
    *(shards.c.queue, shards.c.id, shards.c.attempt, shards.c.job_id, shards.c.seq),
    *(_of_job(jobs.c.tenant), _of_job(jobs.c.priority), _of_job(jobs.c.deadline)),
)


def _load() -> CTE:
    """What each job has queued or leased in each queue; small, whatever the backlog."""
    is_suspect = shards.c.deaths >= SUSPECT_DEATHS
    return (
        select(
            shards.c.queue,
            shards.c.job_id,
            jobs.c.tenant,
            func.count().label("busy"),
            func.sum(case((shards.c.state == ShardState.QUEUED, 1), else_=0)).label("queued"),
            func.sum(case((is_suspect, 1), else_=0)).label("suspects"),
        )
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(shards.c.state.in_([ShardState.QUEUED, ShardState.LEASED]))
        .group_by(shards.c.queue, shards.c.job_id, jobs.c.tenant)
        .cte("load")
    )


def _heads(window: int, of_one_queue: bool) -> CTE:
    """Each running job with the `seq` behind its first `window` pending shards: the others cannot be chosen anyway."""
    first = shards.alias("first")
    stop = (
        select(first.c.seq)
        .where(first.c.job_id == jobs.c.id, first.c.state == ShardState.PENDING, _in_queue(first.c.queue, of_one_queue))
        .order_by(first.c.seq)
        .offset(window)
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(
            jobs.c.id,
            jobs.c.tenant,
            jobs.c.priority,
            jobs.c.created,
            func.coalesce(jobs.c.deadline, NO_DEADLINE).label("deadline"),
            func.coalesce(tenants.c.weight, 1.0).label("weight"),
            func.coalesce(stop, _NO_STOP).label("stop"),
        )
        .outerjoin(tenants, tenants.c.name == jobs.c.tenant)
        .where(jobs.c.state.in_(RUNNABLE_STATES))
        .cte("heads")
    )


def _ranked(heads: CTE, load: CTE, of_one_queue: bool) -> CTE:
    """Candidates with their `place` in their queue."""
    turns = _turns(heads, load, of_one_queue)
    tenant_load = (
        select(
            load.c.queue,
            load.c.tenant,
            func.sum(load.c.busy).label("busy"),
            func.sum(load.c.suspects).label("suspects"),
        )
        .group_by(load.c.queue, load.c.tenant)
        .cte("tenant_load")
    )
    suspects = select(load.c.queue, func.sum(load.c.suspects).label("n")).group_by(load.c.queue).cte("suspects")
    by_tenant = func.row_number().over(
        partition_by=(turns.c.queue, turns.c.tenant, turns.c.priority),
        order_by=(turns.c.deadline, turns.c.turn, turns.c.created, turns.c.seq),
    )
    fair = (
        select(turns, ((func.coalesce(tenant_load.c.busy, 0) + by_tenant) / turns.c.weight).label("tenant_turn"))
        .outerjoin(tenant_load, and_(tenant_load.c.queue == turns.c.queue, tenant_load.c.tenant == turns.c.tenant))
        .outerjoin(suspects, suspects.c.queue == turns.c.queue)
        .where(or_(turns.c.suspect == 0, and_(turns.c.suspect_turn == 1, func.coalesce(suspects.c.n, 0) == 0)))
        .cte("fair")
    )
    place = func.row_number().over(
        partition_by=fair.c.queue,
        order_by=(fair.c.priority.desc(), fair.c.tenant_turn, fair.c.deadline, fair.c.turn, fair.c.created, fair.c.seq),
    )
    return select(fair.c.id, fair.c.queue, fair.c.turn, place.label("place")).cte("ranked")


def _turns(heads: CTE, load: CTE, of_one_queue: bool) -> CTE:
    """Candidates with their `turn` in their job: what the job has in work already, plus their place among its rest."""
    suspect = case((shards.c.deaths >= SUSPECT_DEATHS, 1), else_=0)
    by_job = func.row_number().over(partition_by=(shards.c.queue, shards.c.job_id), order_by=shards.c.seq)
    by_suspicion = func.row_number().over(
        partition_by=(shards.c.queue, suspect), order_by=(heads.c.priority.desc(), heads.c.created, shards.c.seq)
    )
    return (
        select(
            shards.c.id,
            shards.c.queue,
            shards.c.seq,
            heads.c.tenant,
            heads.c.priority,
            heads.c.created,
            heads.c.deadline,
            heads.c.weight,
            suspect.label("suspect"),
            by_suspicion.label("suspect_turn"),
            (func.coalesce(load.c.busy, 0) + by_job).label("turn"),
        )
        .join(heads, heads.c.id == shards.c.job_id)
        .outerjoin(load, and_(load.c.job_id == shards.c.job_id, load.c.queue == shards.c.queue))
        .where(
            shards.c.state == ShardState.PENDING, shards.c.seq < heads.c.stop, _in_queue(shards.c.queue, of_one_queue)
        )
        .cte("turns")
    )


def _in_queue(column: ColumnElement[str], of_one_queue: bool) -> ColumnElement[bool]:
    return column == bindparam(IN_QUEUE) if of_one_queue else true()


def _in_turn(rows: Sequence[Row[tuple[object, ...]]]) -> list[Row[tuple[object, ...]]]:
    """Order hints for sending: RETURNING gives them in any order, Redis keeps the one in which they come."""
    job_turns: Counter[str] = Counter()
    within_tenant = []
    for row in sorted(rows, key=lambda row: row.seq):
        job_turns[row.job_id] += 1
        deadline = NO_DEADLINE if row.deadline is None else row.deadline
        within_tenant.append(((-row.priority, deadline, job_turns[row.job_id], row.job_id), row))
    tenant_turns: Counter[str] = Counter()
    keyed = []
    for key, row in sorted(within_tenant, key=lambda pair: pair[0]):
        tenant_turns[row.tenant] += 1
        keyed.append(((-row.priority, tenant_turns[row.tenant], key), row))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]
