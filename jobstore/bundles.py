"""Small shards that a worker takes beside each other, because each costs more on its own than its items do.

A hint is worth one shard (`jobstore.deserving`). Where that one is small, its worker also takes what stands behind the
window, in the window's order and without hints; with nothing behind it, half of what stands in it: less at the end, so
that others find something, too. 500 jobs of one picture cost some twenty transactions then, as one job of 500 does. Of
a shard that is taken so, the hint is worth nothing any more; all others keep theirs, so nothing waits for a lost one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, bindparam, select

from jobstore.leases import leases_of, taken_by
from jobstore.schema import RUNNABLE_STATES, WAITING_SHARDS, Item, Lease, ShardState
from jobstore.submit import DEFAULT_SHARD_SIZE
from jobstore.tables import items, jobs, shards
from jobstore.window import in_line, in_queue, standing_in

if TYPE_CHECKING:
    from collections.abc import Sequence


def lease_beside(db: Connection, first: Lease, most_items: int, lease_s: float) -> list[Lease]:
    """Take pending shards of `first`'s queue that have at most `most_items` items together, for the same owner.

    Only shards that nobody has begun, of pictures, whose jobs want the same model in the same way and are not less
    urgent than `first`'s: whatever needs care, time or another model is worth a hint of its own.
    """
    chosen: list[str] = []
    for shard in _candidates(db, first):
        if shard.size > most_items:
            break
        most_items -= shard.size
        chosen.append(shard.id)
    if not chosen:
        return []
    taken = db.execute(
        taken_by(first.owner, lease_s).where(shards.c.id.in_(chosen), shards.c.state.in_(WAITING_SHARDS))
    ).all()
    left = _all_items(db, taken)
    return leases_of(db, [(row, left[row.id]) for row in sorted(taken, key=lambda row: chosen.index(row.id))])


def _candidates(db: Connection, first: Lease) -> Sequence[Row[tuple[str, int]]]:
    """Give id and size of what may be taken, in the order in which it should be; their rows are held."""
    place = in_queue(first.queue)
    if db.execute(_IS_ANY_BEHIND, place).first() is not None and (
        behind := db.execute(_BEHIND, {**place, "own_job": first.job_id}).all()
    ):
        return behind
    in_window = db.execute(_IN_WINDOW, {**place, "own_job": first.job_id}).all()
    return in_window[: (len(in_window) + 1) // 2]


def _like_the_first() -> Select[tuple[str, int]]:
    """Ask for shards that may be taken along with one of the job `own_job`."""
    own = jobs.alias("own")
    is_video = select(items.c.idx).where(
        items.c.job_id == shards.c.job_id,
        items.c.idx.between(shards.c.first_idx, shards.c.last_idx),
        items.c.start_s.is_not(None),
    )
    return (
        select(shards.c.id, shards.c.size)
        .join(jobs, jobs.c.id == shards.c.job_id)
        .join(own, own.c.id == bindparam("own_job"))
        .where(jobs.c.model == own.c.model, jobs.c.wishes == own.c.wishes, jobs.c.priority >= own.c.priority)
        .where(jobs.c.state.in_(RUNNABLE_STATES), shards.c.attempt == 1, shards.c.deaths == 0, ~is_video.exists())
        # Not of a split shard: its range may hold items that have ended.
        .where(shards.c.size == shards.c.last_idx - shards.c.first_idx + 1)
        .with_for_update(of=shards, skip_locked=True)
    )


# Built once: building them takes as long as running them.
_LINE, _LIKE = in_line(DEFAULT_SHARD_SIZE), _like_the_first()
_IS_ANY_BEHIND = select(shards.c.id).where(*standing_in(ShardState.PENDING)).limit(1)
_BEHIND = (
    _LIKE.join(_LINE, _LINE.c.id == shards.c.id).where(shards.c.state == ShardState.PENDING).order_by(_LINE.c.place)
)
_IN_WINDOW = _LIKE.where(*standing_in(ShardState.QUEUED)).order_by(jobs.c.priority.desc(), jobs.c.created, shards.c.seq)


def _all_items(db: Connection, taken: Sequence[Row[Any]]) -> dict[str, tuple[Item, ...]]:
    query = (
        select(shards.c.id, items.c.idx, items.c.uri)
        .join(items, (items.c.job_id == shards.c.job_id) & items.c.idx.between(shards.c.first_idx, shards.c.last_idx))
        .where(shards.c.id.in_([row.id for row in taken]))
        .order_by(items.c.idx)
    )
    found: dict[str, list[Item]] = {row.id: [] for row in taken}
    for row in db.execute(query):
        found[row.id].append(Item(row.idx, row.uri))
    return {shard: tuple(left) for shard, left in found.items()}
