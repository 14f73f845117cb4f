"""Which worker processes live, which hardware classes they serve, and which of them have nothing to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from jobstore.clock import db_now
from jobstore.encoding import from_json
from jobstore.schema import ShardState
from jobstore.tables import shards, workers

if TYPE_CHECKING:
    from collections.abc import Sequence

ANY_GPU = "gpu-any"
#: A worker that has been silent for longer is not counted on, in seconds; it reports every two.
ALIVE_S = 15.0


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker process that reported itself lately.

    Attributes:
        classes: hardware classes whose queues it consumes.
        is_working: running, neither draining nor stopped.
        is_busy: it holds a shard.
        age_s: seconds since its last report.
    """

    worker_id: str
    classes: frozenset[str]
    is_working: bool
    is_busy: bool
    age_s: float

    def serves(self, hardware: str) -> bool:
        """Say whether it takes this class's shards now."""
        return self.is_working and hardware in self.classes


def live_workers(db: Connection, max_age_s: float = ALIVE_S) -> list[LiveWorker]:
    """List the workers that reported within `max_age_s`, stopped and draining ones too."""
    age = (db_now() - workers.c.heartbeat).label("age_s")
    columns = (workers.c.id, workers.c.hardware, workers.c.serves, workers.c.state, workers.c.drain, age)
    query = select(*columns).where(workers.c.heartbeat > db_now() - max_age_s).order_by(workers.c.id)
    busy = set(db.execute(select(shards.c.owner).where(shards.c.state == ShardState.LEASED)).scalars())
    return [
        LiveWorker(
            worker_id=row.id,
            classes=_classes(row.hardware, from_json(row.serves)),
            is_working=row.state == "running" and not row.drain,
            is_busy=row.id in busy,
            age_s=row.age_s,
        )
        for row in db.execute(query)
    ]


def _classes(hardware: str, serves: Sequence[str]) -> frozenset[str]:
    """Give what a worker says that it serves; every GPU serves `gpu-any`."""
    return frozenset({hardware, *serves} | ({ANY_GPU} if hardware.startswith("gpu-") else set()))
