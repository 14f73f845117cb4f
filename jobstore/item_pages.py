"""Pages of a job's items, each with its outcome: what people look through.

The database is never asked to join a million rows to a million, or to look for the few of a state among all of them:
the shards' books say in which ranges a state can be, and what is read there goes by primary keys. So a page costs the
same whatever statistics the planner has; where a job was just submitted, they are those of an empty table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, or_, select

from jobstore.encoding import clip_of, count_objects, from_json
from jobstore.failing import failed_codes, failed_of
from jobstore.keys import go_by_keys, rows_of
from jobstore.ranges import joined
from jobstore.schema import OPEN_SHARDS, DecisionId, ItemError, JobId, JobState, OutcomeState, ShardState
from jobstore.tables import items, jobs, outcomes, shards
from jobstore.views import ItemRow

#: States whose outcomes have an error code.
_WITH_CODES = frozenset({OutcomeState.FAILED, OutcomeState.SKIPPED})
#: Items that are looked at together for those without an outcome.
_LOOKED_AT = 1_000
#: Gives the next wanted items of a closed range: first, last, how many at most.
_Read = Callable[[int, int, int], Sequence[int]]


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items are listed.

    Attributes:
        states: of their outcomes; none, with `is_pending` false: all items.
        is_pending: those without an outcome, too.
        causes: codes of their errors; none: any.
        after: index of the last item of the page before.
    """

    states: Collection[OutcomeState] = ()
    is_pending: bool = False
    causes: Collection[str] = ()
    after: int = -1

    @property
    def is_everything(self) -> bool:
        """Whether no item is left out."""
        return not (self.states or self.is_pending or self.causes)


def item_page(db: Connection, job_id: JobId, wanted: ItemFilter, limit: int) -> list[ItemRow]:
    """Give the next `limit` items of the job in their order, each with its outcome."""
    go_by_keys(db)
    chosen = _next(db, job_id, wanted.after, limit) if wanted.is_everything else _chosen(db, job_id, wanted, limit)
    rows = rows_of(db, items, list(items.c), items.c.job_id == job_id, chosen)
    its = and_(outcomes.c.job_id == job_id, outcomes.c.frame == 0)
    ended = rows_of(db, outcomes, [outcomes.c.idx, *(outcomes.c[name] for name in _OF_OUTCOME)], its, chosen)
    return [_item(rows[idx], ended.get(idx, _NO_OUTCOME)) for idx in chosen]


_OF_OUTCOME = ("state", "record", "error_code", "error_message", "timings_ms", "decision_id", "tries", "content")
_NO_OUTCOME: dict[str, Any] = dict.fromkeys(_OF_OUTCOME)


def _next(db: Connection, job_id: JobId, after: int, limit: int) -> list[int]:
    query = select(items.c.idx).where(items.c.job_id == job_id, items.c.idx > after).order_by(items.c.idx)
    return list(db.execute(query.limit(limit)).scalars())


def _chosen(db: Connection, job_id: JobId, wanted: ItemFilter, limit: int) -> list[int]:
    """Give the next wanted indices: of each state as many as fit on the page, and of those the first."""
    states = frozenset(wanted.states)
    if wanted.causes:
        states = _WITH_CODES if not states and not wanted.is_pending else states & _WITH_CODES
    found: set[int] = set()
    for state in sorted(states):
        if state == OutcomeState.FAILED:
            found.update(_failed(db, job_id, wanted, limit))
        else:
            found.update(
                _in_ranges(_ranges(db, job_id, state, wanted.after), _reader(db, job_id, state, wanted), limit)
            )
    if wanted.is_pending and not wanted.causes:
        found.update(_in_ranges(_open_ranges(db, job_id, wanted.after), _pending_reader(db, job_id), limit))
    return sorted(found)[:limit]


def _failed(db: Connection, job_id: JobId, wanted: ItemFilter, limit: int) -> list[int]:
    """Failed items, cause by cause along `ix_outcomes_failed`."""
    found: list[int] = []
    for code in sorted(wanted.causes) or failed_codes(db, job_id):
        query = select(outcomes.c.idx).where(*failed_of(job_id, code), outcomes.c.idx > wanted.after)
        # The order of that index: by `idx` alone the whole job would be walked through.
        found += db.execute(query.order_by(outcomes.c.error_code, outcomes.c.idx).limit(limit)).scalars()
    return found


def _in_ranges(ranges: Iterator[tuple[int, int]], read: _Read, limit: int) -> list[int]:
    found: list[int] = []
    for first, last in ranges:
        found += read(first, last, limit - len(found))
        if len(found) >= limit:
            break
    return found


def _reader(db: Connection, job_id: JobId, state: OutcomeState, wanted: ItemFilter) -> _Read:
    def read(first: int, last: int, limit: int) -> Sequence[int]:
        its = (outcomes.c.job_id == job_id, outcomes.c.idx.between(first, last), outcomes.c.frame == 0)
        query = select(outcomes.c.idx).where(*its, outcomes.c.state == state).order_by(outcomes.c.idx).limit(limit)
        if wanted.causes:
            query = query.where(outcomes.c.error_code.in_(sorted(wanted.causes)))
        return db.execute(query).scalars().all()

    return read


def _pending_reader(db: Connection, job_id: JobId) -> _Read:
    def read(first: int, last: int, limit: int) -> Sequence[int]:
        found: list[int] = []
        while first <= last and len(found) < limit:
            end = min(last, first + _LOOKED_AT - 1)
            its = (outcomes.c.job_id == job_id, outcomes.c.idx.between(first, end), outcomes.c.frame == 0)
            ended = set(db.execute(select(outcomes.c.idx).where(*its)).scalars())
            found += [idx for idx in range(first, end + 1) if idx not in ended]  # items have every index up to the last
            first = end + 1
        return found[:limit]

    return read


def _ranges(db: Connection, job_id: JobId, state: OutcomeState, after: int) -> Iterator[tuple[int, int]]:
    """Ranges in which outcomes of a state can be.

    Those of shards that have counted one, or were split: what the whole had counted stays with the first half. What an
    ended job skips is counted by no shard, but they are cancelled.
    """
    may_hold = or_(
        shards.c[state] > 0,
        shards.c.size != shards.c.last_idx - shards.c.first_idx + 1,
        shards.c.state == ShardState.CANCELLED,
    )
    return _joined_ranges(db, job_id, may_hold, after)


def _open_ranges(db: Connection, job_id: JobId, after: int) -> Iterator[tuple[int, int]]:
    """Ranges in which items can be that have no outcome; of a draft, all there are."""
    job = db.execute(select(jobs.c.state, jobs.c.total).where(jobs.c.id == job_id)).one()
    if job.state == JobState.DRAFT:
        return iter([(after + 1, job.total - 1)])
    return _joined_ranges(db, job_id, shards.c.state.in_(OPEN_SHARDS), after)


def _joined_ranges(
    db: Connection, job_id: JobId, condition: ColumnElement[bool], after: int
) -> Iterator[tuple[int, int]]:
    query = select(shards.c.first_idx, shards.c.last_idx).where(
        shards.c.job_id == job_id, condition, shards.c.last_idx > after
    )
    for first, last in joined((row.first_idx, row.last_idx) for row in db.execute(query)):
        yield max(first, after + 1), last


def _item(row: RowMapping, outcome: RowMapping | dict[str, Any]) -> ItemRow:
    state, code, decision = outcome["state"], outcome["error_code"], outcome["decision_id"]
    return ItemRow(
        idx=row["idx"],
        uri=row["uri"],
        metadata=from_json(row["metadata"]),
        clip=clip_of(row["start_s"], row["end_s"]),
        state=None if state is None else OutcomeState(state),
        error=None if code is None else ItemError(code, outcome["error_message"] or ""),
        objects=count_objects(from_json(outcome["record"])),
        tries=outcome["tries"] or 0,
        timings_ms=from_json(outcome["timings_ms"]),
        content=outcome["content"],
        decision_id=None if decision is None else DecisionId(decision),
    )
