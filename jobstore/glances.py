"""What pages show of a job at a glance. Each of these reads a bounded number of rows, however many items a job has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, and_, select

from jobstore.clock import db_now
from jobstore.encoding import from_json
from jobstore.events import newest_events
from jobstore.keys import rows_of
from jobstore.reading import result_of, result_page
from jobstore.schema import JobId, ShardState
from jobstore.tables import outcomes, shards

if TYPE_CHECKING:
    from jobstore.connection import Database
    from jobstore.views import JobEvent, ResultRow

#: Items whose timings are looked at, spread evenly over the job.
SAMPLED_ITEMS = 64


@dataclass(frozen=True, slots=True)
class Pace:
    """What happens to a job at this moment.

    Attributes:
        items_per_second: of the shards in hand, each since its worker took it; None: nothing can be said yet.
        shards: in hand.
        workers: that hold them.
    """

    items_per_second: float | None
    shards: int
    workers: int


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Where the time of a sample of items went.

    Attributes:
        items: that were looked at.
        mean_ms: milliseconds an item by stage: fetch, decode, preprocess, forward (its wait included), postprocess.
    """

    items: int
    mean_ms: Mapping[str, float]


class Glances:
    """Reads of a store for pages; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def pace(self, job_id: JobId) -> Pace:
        """Give how fast the job goes, from the counters of its shards in hand."""
        return self._db.read(lambda db: _pace(db, job_id))

    def stage_times(self, job_id: JobId, total: int) -> StageTimes:
        """Give mean times by stage over up to `SAMPLED_ITEMS` of the job's `total` items."""
        return self._db.read(lambda db: _stage_times(db, job_id, total))

    def result(self, job_id: JobId, idx: int, frame: int = 0) -> ResultRow | None:
        """Give one outcome with its blob; None: there is none yet."""
        return self._db.read(lambda db: result_of(db, job_id, idx, frame))

    def results(self, job_id: JobId, after: tuple[int, int], limit: int) -> Sequence[ResultRow]:
        """Give the next outcomes of any state after `(idx, frame)`, without their blobs; `(-1, 0)` begins."""
        return self._db.read(lambda db: result_page(db, job_id, (), after, limit, with_blobs=False))

    def events(self, job_id: JobId, limit: int) -> Sequence[JobEvent]:
        """List the last things that happened to the job, the newest first."""
        return self._db.read(lambda db: newest_events(db, job_id, limit))


def sampled(total: int) -> list[int]:
    """Spread up to `SAMPLED_ITEMS` indices evenly over `total` items. Pure."""
    count = min(total, SAMPLED_ITEMS)
    return [number * total // count for number in range(count)]


def _pace(db: Connection, job_id: JobId) -> Pace:
    done = shards.c.ok + shards.c.cached + shards.c.failed + shards.c.skipped
    query = select(done.label("done"), (db_now() - shards.c.leased_at).label("seconds"), shards.c.owner).where(
        shards.c.job_id == job_id, shards.c.state == ShardState.LEASED
    )
    rows = db.execute(query).all()
    speed = sum(row.done / max(row.seconds, 1.0) for row in rows if row.seconds is not None)
    return Pace(speed or None, len(rows), len({row.owner for row in rows}))


def _stage_times(db: Connection, job_id: JobId, total: int) -> StageTimes:
    its = and_(outcomes.c.job_id == job_id, outcomes.c.frame == 0)
    rows = rows_of(db, outcomes, [outcomes.c.idx, outcomes.c.timings_ms], its, sampled(total))
    found: list[Mapping[str, float]] = [
        from_json(row["timings_ms"]) for row in rows.values() if row["timings_ms"] is not None
    ]
    stages = {stage: None for timings in found for stage in timings}
    return StageTimes(len(found), {name: sum(each.get(name, 0.0) for each in found) / len(found) for name in stages})
