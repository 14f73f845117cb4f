"""What machines the workers run on, as they reported them: each description once, named by its workers by its hash."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, case, or_, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_sorted_json
from jobstore.heartbeats import ALIVE_S, heartbeat
from jobstore.schema import WorkerId, WorkerRow
from jobstore.tables import machines, workers
from jobstore.upsert import insert_or_update
from jobstore.views import MachineReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement


def introduce(db: Connection, row: WorkerRow, machine: Mapping[str, Any] | None) -> bool:
    """Write a heartbeat, and what the worker runs on where it says so; equal machines of many workers are kept once.

    Returns:
        Whether somebody asked the worker to drain.
    """
    is_asked = heartbeat(db, row)
    if machine is not None:
        text = to_sorted_json(machine)
        digest = hashlib.sha256(text.encode()).hexdigest()
        values = {"digest": digest, "description": text, "created": db_now()}
        # Written again, and not only where it is new: whoever forgets old ones then waits for us, or we for him.
        db.execute(insert_or_update(db, machines, "digest", values, kept=frozenset({"description"})))
        db.execute(update(workers).where(workers.c.id == row.worker_id).values(machine=digest))
    return is_asked


def machine_of_class(db: Connection, hardware: str) -> MachineReport | None:
    """Give the machine of a class's newest worker: of a live one, or else of the last that was heard.

    A worker whose own class it is goes before one that only stands in for it. None: no worker has reported one.
    """
    is_live, age = _is_live(), (db_now() - workers.c.heartbeat).label("age_s")
    columns = (workers.c.id, workers.c.heartbeat, machines.c.description, is_live.label("is_live"), age)
    query = (
        select(*columns)
        .join(machines, machines.c.digest == workers.c.machine)
        .where(_serves(hardware))
        .order_by(
            case((is_live, 0), else_=1),
            case((workers.c.hardware == hardware, 0), else_=1),
            case((is_live, workers.c.started), else_=workers.c.heartbeat).desc(),
            workers.c.id.desc(),
        )
        .limit(1)
    )
    row = db.execute(query).one_or_none()
    if row is None:
        return None
    description = from_json(row.description)
    return MachineReport(hardware, WorkerId(row.id), description, row.heartbeat, row.age_s, bool(row.is_live))


def classes_seen(db: Connection, max_age_s: float) -> list[str]:
    """List the classes that workers heard within `max_age_s` serve or served."""
    query = select(workers.c.hardware, workers.c.serves).where(db_now() - workers.c.heartbeat <= max_age_s).distinct()
    return sorted({name for row in db.execute(query) for name in (row.hardware, *from_json(row.serves))})


def _is_live() -> ColumnElement[bool]:
    return and_(workers.c.state != "stopped", db_now() - workers.c.heartbeat <= ALIVE_S)


def _serves(hardware: str) -> ColumnElement[bool]:
    """Whether a worker's own class, or one in the JSON list of those that it serves, is this one."""
    return or_(workers.c.hardware == hardware, workers.c.serves.contains(f'"{hardware}"', autoescape=True))
