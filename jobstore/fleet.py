"""Who works and what waits: heartbeats of worker processes and the backlog of each queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, case, func, literal, select, union_all, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_json
from jobstore.schema import QueueRow, ShardState, WorkerId, WorkerRow
from jobstore.tables import shards, workers
from jobstore.upsert import insert_or_update

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Workers silent for longer are not listed any more, in seconds.
_LISTED_FOR_S = 86_400.0
_PLAIN = ("host", "pid", "hardware", "device", "state", "items_per_second", "started", "heartbeat", "age_s")
_WAITING = (ShardState.PENDING, ShardState.QUEUED)


def heartbeat(db: Connection, row: WorkerRow) -> None:
    """Write a worker's report of itself; its `started` is the time of the first."""
    values: dict[str, Any] = {
        "id": row.worker_id,
        "host": row.host,
        "pid": row.pid,
        "hardware": row.hardware,
        "device": row.device,
        "state": row.state,
        "queues": to_json(row.queues),
        "models": to_json(row.models),
        "items_per_second": row.items_per_second,
        "started": db_now(),
        "heartbeat": db_now(),
    }
    db.execute(insert_or_update(db, workers, "id", values, kept=frozenset({"started"})))


def worker_stopped(db: Connection, worker_id: WorkerId) -> None:
    """Note that a worker ended by itself."""
    db.execute(update(workers).where(workers.c.id == worker_id).values(state="stopped", heartbeat=db_now()))


def list_workers(db: Connection, max_age_s: float) -> list[WorkerRow]:
    """List the workers of the last day; one that is silent for more than `max_age_s` is `lost`."""
    age = db_now() - workers.c.heartbeat
    lost = (age > max_age_s) & (workers.c.state != "stopped")
    shown = select(workers, age.label("age_s"), lost.label("lost")).where(age < _LISTED_FOR_S)
    return [_worker(row) for row in db.execute(shown.order_by(workers.c.host, workers.c.id)).mappings()]


def list_queues(db: Connection, hardware: str | None) -> list[QueueRow]:
    """Give what waits and runs in each queue that has anything."""
    ended = shards.c.ok + shards.c.cached + shards.c.failed + shards.c.skipped
    oldest = func.min(case((shards.c.state.in_(_WAITING), shards.c.created)))
    query = (
        select(
            shards.c.queue,
            *(
                func.sum(case((shards.c.state == state, 1), else_=0)).label(state)
                for state in (*_WAITING, ShardState.LEASED)
            ),
            func.sum(shards.c.size - ended).label("items_left"),
            (db_now() - oldest).label("oldest_age_s"),
        )
        .where(shards.c.state.in_((*_WAITING, ShardState.LEASED)))
        .group_by(shards.c.queue)
        .order_by(shards.c.queue)
    )
    if hardware is not None:
        query = query.where(shards.c.hardware == hardware)
    return [QueueRow(**row) for row in db.execute(query).mappings()]


def queues_with_work(db: Connection, hardware: Sequence[str]) -> list[str]:
    """List the queues of these classes in which shards wait, by hops from name to name over the index.

    DISTINCT would read an index entry for each waiting shard; each worker asks twice a second.
    """
    if not hardware:
        return []
    starts = [
        select(literal(str(state)).label("state"), literal(kind).label("hardware"), literal("").label("queue"))
        for state in _WAITING
        for kind in hardware
    ]
    hop = select(union_all(*starts).subquery("start")).cte("hop", recursive=True)
    following = (
        select(func.min(shards.c.queue))
        .where(shards.c.state == hop.c.state, shards.c.hardware == hop.c.hardware, shards.c.queue > hop.c.queue)
        .scalar_subquery()
    )
    hop = hop.union_all(select(hop.c.state, hop.c.hardware, following).where(hop.c.queue.is_not(None)))
    names = select(hop.c.queue).where(hop.c.queue > "").distinct().order_by(hop.c.queue)
    return list(db.execute(names).scalars())


def _worker(row: RowMapping) -> WorkerRow:
    values = {name: row[name] for name in _PLAIN}
    if row["lost"]:
        values["state"] = "lost"
    return WorkerRow(
        worker_id=WorkerId(row["id"]),
        queues=tuple(from_json(row["queues"])),
        models=tuple(from_json(row["models"])),
        **values,
    )
