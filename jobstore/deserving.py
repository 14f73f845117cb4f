"""Which of the shards that were hinted a worker takes when a hint rings: the one that deserves it most at that moment.

Redis keeps hints in the order in which they were sent, and that order is old when they are taken: a window of a large
job stands before whoever came later. So the order is made anew here, from what is in work now: priority, the tenant's
share, deadline, the job's share; among equals the hinted shard, so that hints are exchanged only for a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, ColumnElement, Connection, FromClause, Row, Select, and_, bindparam, func, select

from jobstore.queues import hardware_of
from jobstore.schema import RUNNABLE_STATES, WAITING_SHARDS, Hint, ShardId, ShardState
from jobstore.tables import jobs, shards, tenants
from jobstore.window import NO_DEADLINE

if TYPE_CHECKING:
    from collections.abc import Collection


def _statement() -> Select[tuple[str, int]]:
    hinted, mates = shards.alias("hinted"), shards.alias("mates")
    hint = (hinted.c.id == bindparam("shard_id"), hinted.c.attempt == bindparam("attempt"))
    place = select(hinted.c.hardware, hinted.c.queue).where(*hint, hinted.c.state.in_(WAITING_SHARDS)).cte("place")
    is_in_work = and_(
        mates.c.state == ShardState.LEASED, mates.c.hardware == place.c.hardware, mates.c.queue == place.c.queue
    )
    in_work = (
        select(mates.c.job_id, jobs.c.tenant, func.count().label("n"))
        .select_from(mates)
        .join(place, is_in_work)
        .join(jobs, jobs.c.id == mates.c.job_id)
        .group_by(mates.c.job_id, jobs.c.tenant)
        .cte("in_work")
    )
    of_tenant = select(in_work.c.tenant, func.sum(in_work.c.n).label("n")).group_by(in_work.c.tenant).cte("of_tenant")
    weight = func.coalesce(tenants.c.weight, 1.0)
    return (
        select(shards.c.id, shards.c.attempt)
        .join(place, and_(shards.c.hardware == place.c.hardware, shards.c.queue == place.c.queue))
        .join(jobs, jobs.c.id == shards.c.job_id)
        .outerjoin(tenants, tenants.c.name == jobs.c.tenant)
        .outerjoin(of_tenant, of_tenant.c.tenant == jobs.c.tenant)
        .outerjoin(in_work, in_work.c.job_id == shards.c.job_id)
        .where(shards.c.state == ShardState.QUEUED, jobs.c.state.in_(RUNNABLE_STATES))
        .order_by(
            jobs.c.priority.desc(),
            (func.coalesce(of_tenant.c.n, 0) + 1) / weight,
            func.coalesce(jobs.c.deadline, NO_DEADLINE),
            func.coalesce(in_work.c.n, 0),
            (shards.c.id == bindparam("shard_id")).desc(),
            jobs.c.created,
            shards.c.seq,
        )
        .limit(1)
        .with_for_update(of=shards, skip_locked=True)
    )


_MOST_DESERVING = _statement()


def most_deserving(db: Connection, shard_id: ShardId, attempt: int) -> Row[Any] | None:
    """Give `id` and `attempt` of the queued shard to take; None: the hint is worth nothing, or its queue holds none.

    The row is held until the transaction ends; rows that others hold are passed over.
    """
    return db.execute(_MOST_DESERVING, {"shard_id": shard_id, "attempt": attempt}).one_or_none()


def newcomer(db: Connection, queues: Collection[str]) -> Hint | None:
    """Give a hint of one of these queues whose tenant has nothing in work there; its shard waits at this moment.

    What it costs grows with the windows of the queues and with what is in work, not with the backlog.
    """
    places = {"hardware": sorted(set(map(hardware_of, queues))), "queues": sorted(queues)}
    row = db.execute(_NEWCOMER, places).first()
    return None if row is None else Hint(row.queue, ShardId(row.id), row.attempt)


def _newcomers() -> Select[tuple[str, str, int]]:
    mates, theirs = shards.alias("mates"), jobs.alias("theirs")
    at_work = (
        select(mates.c.queue, theirs.c.tenant)
        .join(theirs, theirs.c.id == mates.c.job_id)
        .where(mates.c.state == ShardState.LEASED, *_in_places(mates))
        .distinct()
        .cte("at_work")
    )
    return (
        select(shards.c.queue, shards.c.id, shards.c.attempt)
        .join(jobs, jobs.c.id == shards.c.job_id)
        .outerjoin(at_work, and_(at_work.c.queue == shards.c.queue, at_work.c.tenant == jobs.c.tenant))
        .where(shards.c.state == ShardState.QUEUED, *_in_places(shards))
        .where(jobs.c.state.in_(RUNNABLE_STATES), at_work.c.tenant.is_(None))
        .order_by(jobs.c.priority.desc(), jobs.c.created, shards.c.seq)
        .limit(1)
    )


def _in_places(table: FromClause) -> tuple[ColumnElement[bool], ...]:
    hardware: BindParameter[str] = bindparam("hardware", expanding=True)
    queues: BindParameter[str] = bindparam("queues", expanding=True)
    return table.c.hardware.in_(hardware), table.c.queue.in_(queues)


_NEWCOMER = _newcomers()
