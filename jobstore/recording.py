"""Writing outcomes: fence, rows, counters and, with the last flush, the shard's end, all in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select, update

from jobstore import result_cache
from jobstore.clock import db_now
from jobstore.counters import Counters, added, count_states, counters_of
from jobstore.encoding import count_objects, storable, to_json_or_none
from jobstore.endings import Ending, finish_shards
from jobstore.errors import LeaseLost
from jobstore.leases import are_held
from jobstore.policy import judge_failures
from jobstore.schema import ENDED_STATES, DecisionId, Lease, Outcome, OutcomeState, ShardId, ShardState
from jobstore.tables import jobs, outcomes, shards

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class EncodedOutcome:
    """One outcome as its row, encoded before the transaction begins.

    Attributes:
        result_key: what the result is kept by for later runs; None: it is not.
    """

    state: OutcomeState
    objects: int
    row: dict[str, Any]
    result_key: str | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Give `(idx, frame)`."""
        return self.row["idx"], self.row["frame"]


def encode_outcomes(lease: Lease, found: Sequence[Outcome], decision_id: DecisionId | None) -> list[EncodedOutcome]:
    """Make rows; the first of two outcomes for one item and frame counts."""
    rows: dict[tuple[int, int], EncodedOutcome] = {}
    for outcome in found:
        row, objects = _row(lease, outcome, decision_id), count_objects(outcome.record)
        encoded = EncodedOutcome(outcome.state, objects, row, outcome.result_key)
        rows.setdefault(encoded.key, encoded)
    return list(rows.values())


@dataclass(frozen=True, slots=True)
class Flush:
    """What is written of one shard.

    Attributes:
        finished: the shard ends by it.
    """

    lease: Lease
    rows: Sequence[EncodedOutcome]
    finished: bool


def record(db: Connection, flushes: Sequence[Flush], lease_s: float) -> list[bool | LeaseLost]:
    """Write what is new; end the shards that are finished. Say of each whether its job ended by it.

    Returns:
        An entry for each flush; the error where the shard is somebody else's, and nothing of it was written.

    Raises:
        ValueError: an outcome for an item that is not the shard's, or `finished` with items that have no outcome.
    """
    held = _hold(db, [flush.lease for flush in flushes], lease_s)
    ours = [flush for flush in flushes if flush.lease.shard_id in held]
    more = _write(db, [(flush, held[flush.lease.shard_id]) for flush in ours])
    ends = [_ending(flush, held[flush.lease.shard_id], counted) for flush, counted in more if flush.finished]
    for flush, counted in more:
        if not flush.finished:
            db.execute(update(shards).where(shards.c.id == flush.lease.shard_id).values(added(shards, counted)))
    ended = finish_shards(db, ends)
    for job_id in sorted({flush.lease.job_id for flush, counted in more if counted.failed} - ended):
        judge_failures(db, job_id)
    return [
        flush.finished and flush.lease.job_id in ended if flush.lease.shard_id in held else _answer_again(db, flush)
        for flush in flushes
    ]


def _hold(db: Connection, leases: Sequence[Lease], lease_s: float) -> dict[ShardId, Row[Any]]:
    """Pass the fence: lengthen the leases that are still ours, and so lock the shards' rows."""
    fence = update(shards).where(*are_held(leases)).values(lease_until=db_now() + lease_s)
    return {ShardId(row.id): row for row in db.execute(fence.returning(*shards.c, db_now().label("now")))}


def _write(db: Connection, held: Sequence[tuple[Flush, Row[Any]]]) -> list[tuple[Flush, Counters]]:
    """Insert what is new of each, and count it."""
    fresh = [(flush, shard, _not_yet_written(db, flush, shard)) for flush, shard in held]
    rows = [encoded.row | {"created": shard.now} for _, shard, found in fresh for encoded in found]
    if rows:
        db.execute(insert(outcomes), rows)
    every = (encoded for _, _, found in fresh for encoded in found)
    result_cache.keep(db, [(encoded.result_key, encoded.row) for encoded in every if encoded.result_key is not None])
    return [
        (flush, count_states((encoded.state, encoded.key[1], encoded.objects) for encoded in found))
        for flush, _, found in fresh
    ]


def _answer_again(db: Connection, flush: Flush) -> bool | LeaseLost:
    """Repeat the answer to a finish whose COMMIT went through but whose reply was lost; else the lease is lost."""
    lease = flush.lease
    query = (
        select(shards.c.state, shards.c.attempt, shards.c.owner, jobs.c.state.label("job_state"))
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(shards.c.id == lease.shard_id)
    )
    row = db.execute(query).one_or_none()
    if flush.finished and row is not None and tuple(row)[:3] == (ShardState.DONE, lease.attempt, lease.owner):
        return row.job_state in ENDED_STATES
    found = "gone" if row is None else f"{row.state}, attempt {row.attempt}, owner {row.owner}"
    return LeaseLost(
        f"shard {lease.shard_id} is {found}; we hold attempt {lease.attempt}: drop the work, nothing was written"
    )


def _not_yet_written(db: Connection, flush: Flush, shard: Row[Any]) -> Sequence[EncodedOutcome]:
    """Drop what an earlier attempt wrote. No other can write these items meanwhile: we hold the shard's row."""
    lease, rows = flush.lease, flush.rows
    if not rows:
        return []
    lowest, highest = min(row.key[0] for row in rows), max(row.key[0] for row in rows)
    if lowest < shard.first_idx or highest > shard.last_idx:
        raise ValueError(
            f"outcomes for items {lowest} to {highest}, "
            f"but shard {lease.shard_id} has {shard.first_idx} to {shard.last_idx}"
        )
    if shard.size == shard.last_idx - shard.first_idx + 1 and counters_of(shard._mapping) == Counters():  # noqa: SLF001
        return rows  # it was never split, and nothing of it is written
    query = select(outcomes.c.idx, outcomes.c.frame).where(
        outcomes.c.job_id == lease.job_id, outcomes.c.idx.between(lowest, highest)
    )
    known = {(idx, frame) for idx, frame in db.execute(query)}
    return [row for row in rows if row.key not in known]


def _ending(flush: Flush, shard: Row[Any], more: Counters) -> Ending:
    counted = counters_of(shard._mapping) + more  # noqa: SLF001 - public in SQLAlchemy
    if counted.ended != shard.size:
        raise ValueError(
            f"shard {shard.id} cannot finish: {counted.ended} of {shard.size} items have an outcome; "
            "record the rest first"
        )
    return Ending(flush.lease.shard_id, flush.lease.job_id, counted)


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
        "content": outcome.content,
    }
