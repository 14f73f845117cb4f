"""Writing outcomes: fence, rows, counters and, with the last flush, the shard's end, all in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select, update

from jobstore.clock import db_now
from jobstore.counters import Counters, added, count_states, counters_of
from jobstore.encoding import count_objects, storable, to_json_or_none
from jobstore.endings import finish_shard
from jobstore.errors import LeaseLost
from jobstore.leases import is_held
from jobstore.policy import judge_failures
from jobstore.schema import ENDED_STATES, DecisionId, Lease, Outcome, OutcomeState, ShardState
from jobstore.tables import jobs, outcomes, shards

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class EncodedOutcome:
    """One outcome as its row, encoded before the transaction begins."""

    state: OutcomeState
    objects: int
    row: dict[str, Any]

    @property
    def key(self) -> tuple[int, int]:
        """Give `(idx, frame)`."""
        return self.row["idx"], self.row["frame"]


def encode_outcomes(lease: Lease, found: Sequence[Outcome], decision_id: DecisionId | None) -> list[EncodedOutcome]:
    """Make rows; the first of two outcomes for one item and frame counts."""
    rows: dict[tuple[int, int], EncodedOutcome] = {}
    for outcome in found:
        encoded = EncodedOutcome(outcome.state, count_objects(outcome.record), _row(lease, outcome, decision_id))
        rows.setdefault(encoded.key, encoded)
    return list(rows.values())


def record(db: Connection, lease: Lease, rows: Sequence[EncodedOutcome], *, lease_s: float, finished: bool) -> bool:
    """Write what is new among `rows`; with `finished` end the shard. Say whether the job ended by it.

    Raises:
        LeaseLost: the shard is somebody else's; nothing was written.
        ValueError: an outcome for an item that is not the shard's, or `finished` with items that have no outcome.
    """
    shard = _hold(db, lease, lease_s)
    if shard is None:
        return _answer_again(db, lease, finished=finished)
    fresh = _not_yet_written(db, lease, rows, shard)
    if fresh:
        now = db.execute(select(db_now())).scalar_one()
        db.execute(insert(outcomes), [encoded.row | {"created": now} for encoded in fresh])
    more = count_states((encoded.state, encoded.key[1], encoded.objects) for encoded in fresh)
    db.execute(update(shards).where(shards.c.id == lease.shard_id).values(added(shards, more)))
    has_ended = finished and _finish(db, lease, counters_of(shard._mapping) + more, shard.size)  # noqa: SLF001
    if more.failed and not has_ended:
        judge_failures(db, lease.job_id)
    return has_ended


def _hold(db: Connection, lease: Lease, lease_s: float) -> Row[Any] | None:
    """Pass the fence: lengthen the lease where it is still ours, and so lock the shard's row."""
    fence = update(shards).where(*is_held(lease)).values(lease_until=db_now() + lease_s)
    return db.execute(fence.returning(*shards.c)).one_or_none()


def _answer_again(db: Connection, lease: Lease, *, finished: bool) -> bool:
    """Repeat the answer to a finish whose COMMIT went through but whose reply was lost; else the lease is lost."""
    query = (
        select(shards.c.state, shards.c.attempt, shards.c.owner, jobs.c.state.label("job_state"))
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(shards.c.id == lease.shard_id)
    )
    row = db.execute(query).one_or_none()
    if finished and row is not None and tuple(row)[:3] == (ShardState.DONE, lease.attempt, lease.owner):
        return row.job_state in ENDED_STATES
    found = "gone" if row is None else f"{row.state}, attempt {row.attempt}, owner {row.owner}"
    raise LeaseLost(
        f"shard {lease.shard_id} is {found}; we hold attempt {lease.attempt}: drop the work, nothing was written"
    )


def _not_yet_written(
    db: Connection, lease: Lease, rows: Sequence[EncodedOutcome], shard: Row[Any]
) -> list[EncodedOutcome]:
    """Drop what an earlier attempt wrote. No other can write these items meanwhile: we hold the shard's row."""
    if not rows:
        return []
    lowest, highest = min(row.key[0] for row in rows), max(row.key[0] for row in rows)
    if lowest < shard.first_idx or highest > shard.last_idx:
        raise ValueError(
            f"outcomes for items {lowest} to {highest}, "
            f"but shard {lease.shard_id} has {shard.first_idx} to {shard.last_idx}"
        )
    query = select(outcomes.c.idx, outcomes.c.frame).where(
        outcomes.c.job_id == lease.job_id, outcomes.c.idx.between(lowest, highest)
    )
    known = {(idx, frame) for idx, frame in db.execute(query)}
    return [row for row in rows if row.key not in known]


def _finish(db: Connection, lease: Lease, counted: Counters, expected: int) -> bool:
    if counted.ended != expected:
        raise ValueError(
            f"shard {lease.shard_id} cannot finish: {counted.ended} of {expected} items have an outcome; "
            "record the rest first"
        )
    return finish_shard(db, lease.shard_id, lease.job_id, counted)


def _row(lease: Lease, outcome: Outcome, decision_id: DecisionId | None) -> dict[str, Any]:
    error = outcome.error
    return {
        "job_id": lease.job_id,
        "idx": outcome.idx,
        "frame": outcome.frame,
        "state": outcome.state,
        "record": to_json_or_none(outcome.record),
        "blob": outcome.blob,
        "error_code": None if error is None else error.code,
        "error_message": None if error is None else storable(error.message),
        "timings_ms": to_json_or_none(outcome.timings_ms),
        "decision_id": decision_id,
        "attempt": lease.attempt,
        "tries": outcome.tries,
        "timestamp_s": outcome.timestamp_s,
    }
