"""Who works: heartbeats of worker processes, and for which queues they are wanted."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, Select, literal, select, union_all, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_json
from jobstore.hops import values_behind
from jobstore.schema import WAITING_SHARDS, WorkerId, WorkerRow
from jobstore.tables import shards, workers
from jobstore.upsert import insert_or_update

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Workers silent for longer are not listed any more, in seconds.
_LISTED_FOR_S = 86_400.0
#: A worker that is silent for longer is not counted on, in seconds: fifteen heartbeats.
ALIVE_S = 30.0
_PLAIN = (
    "host", "pid", "hardware", "device", "state", "items_per_second", "started", "heartbeat", "age_s", "active",
    "memory_bytes",
)  # fmt: skip


def heartbeat(db: Connection, row: WorkerRow) -> bool:
    """Write a worker's report of itself; its `started` is the time of the first.

    Returns:
        Whether somebody asked it to drain.
    """
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
        "serves": to_json(row.serves),
        "active": row.active,
        "memory_bytes": row.memory_bytes,
        "stats": to_json(row.stats),
    }
    db.execute(insert_or_update(db, workers, "id", values, kept=frozenset({"started"})))
    return bool(db.execute(select(workers.c.drain).where(workers.c.id == row.worker_id)).scalar_one())


def drain_worker(db: Connection, worker_id: WorkerId) -> bool:
    """Ask a worker to finish what it has and to leave, which it reads with its next heartbeat.

    Returns:
        False: there is no such worker, or it is not alive.
    """
    is_alive = (workers.c.state != "stopped") & (db_now() - workers.c.heartbeat <= ALIVE_S)
    return bool(db.execute(update(workers).where(workers.c.id == worker_id, is_alive).values(drain=1)).rowcount)


def worker_stopped(db: Connection, worker_id: WorkerId) -> None:
    """Note that a worker ended by itself; its last report may be of shards that were in work then."""
    values = {"state": "stopped", "heartbeat": db_now(), "active": 0, "items_per_second": 0.0}
    db.execute(update(workers).where(workers.c.id == worker_id).values(values))


def list_workers(db: Connection, max_age_s: float) -> list[WorkerRow]:
    """List the workers of the last day; one that is silent for more than `max_age_s` is `lost`."""
    age = db_now() - workers.c.heartbeat
    lost = (age > max_age_s) & (workers.c.state != "stopped")
    shown = select(workers, age.label("age_s"), lost.label("lost")).where(age < _LISTED_FOR_S)
    return [_worker(row) for row in db.execute(shown.order_by(workers.c.host, workers.c.id)).mappings()]


def live_workers(db: Connection) -> list[WorkerRow]:
    """List the workers that take work at this moment."""
    return [row for row in list_workers(db, ALIVE_S) if row.state == "running" and not row.drain]


def queues_with_work(db: Connection, hardware: Sequence[str]) -> list[str]:
    """List the queues of these classes in which shards wait; each worker asks several times a second."""
    return list(db.execute(_waiting_queues(tuple(hardware))).scalars()) if hardware else []


@lru_cache(maxsize=64)
def _waiting_queues(hardware: tuple[str, ...]) -> Select[Any]:
    """To write the statement takes as long as to run it."""
    starts = [
        select(literal(str(state)).label("state"), literal(kind).label("hardware"))
        for state in WAITING_SHARDS
        for kind in hardware
    ]
    found = values_behind(union_all(*starts).cte("start"), (shards.c.queue,))
    return select(found.c.queue).distinct().order_by(found.c.queue)


def _worker(row: RowMapping) -> WorkerRow:
    values = {name: row[name] for name in _PLAIN}
    if row["lost"]:
        values["state"] = "lost"
    return WorkerRow(
        worker_id=WorkerId(row["id"]),
        queues=tuple(from_json(row["queues"])),
        models=tuple(from_json(row["models"])),
        # A worker of an earlier version says nothing of the classes that it serves.
        serves=tuple(from_json(row["serves"])) or (row["hardware"],),
        stats=from_json(row["stats"]),
        drain=bool(row["drain"]),
        **values,
    )
