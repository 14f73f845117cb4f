"""Workers of long ago are forgotten, and machines on which none runs any more.

What they did stays readable: decisions hold the machine that they were made for, events and outcomes their worker's id.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select

from jobstore.clock import db_now
from jobstore.schema import ShardState
from jobstore.tables import machines, shards, workers

#: Rows of one transaction, so that whoever waits to write waits for a moment.
FORGOTTEN_AT_ONCE = 10_000


def count_old(db: Connection, older_than_s: float) -> int:
    """Count the workers that `forget` would remove."""
    return db.execute(select(func.count()).select_from(workers).where(_is_old(older_than_s))).scalar_one()


def forget(db: Connection, older_than_s: float) -> int:
    """Remove workers that were heard of last so long ago; give their number, `FORGOTTEN_AT_ONCE` at most.

    One that shards name as their owner stays, and so does the last one of its classes that told of its machine: models
    are explained for it.
    """
    oldest = select(workers.c.id).where(_is_old(older_than_s)).order_by(workers.c.heartbeat).limit(FORGOTTEN_AT_ONCE)
    # Asked again of the row itself: its worker may be back.
    is_silent = workers.c.heartbeat < db_now() - older_than_s
    number = db.execute(delete(workers).where(workers.c.id.in_(oldest), is_silent)).rowcount
    named = select(workers.c.machine).where(workers.c.machine.is_not(None))
    is_over = and_(machines.c.digest.not_in(named), machines.c.created < db_now() - older_than_s)
    db.execute(delete(machines).where(is_over))
    return number


def _is_old(older_than_s: float) -> ColumnElement[bool]:
    owners = select(shards.c.owner).where(shards.c.state == ShardState.LEASED, shards.c.owner.is_not(None))
    order = (workers.c.heartbeat.desc(), workers.c.id.desc())
    place = func.row_number().over(partition_by=(workers.c.hardware, workers.c.serves), order_by=order)
    told = select(workers.c.id, place.label("place")).where(workers.c.machine.is_not(None)).subquery("told")
    last = select(told.c.id).where(told.c.place == 1)
    is_silent = workers.c.heartbeat < db_now() - older_than_s
    return and_(is_silent, workers.c.id.not_in(owners), workers.c.id.not_in(last))
