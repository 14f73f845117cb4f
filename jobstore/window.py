"""Which shards go to Redis next: one statement, the same for submit, for a finished shard and for the relay's tick.

Only a window of hints stands in a queue, so a cancel, a priority and a small job behind a big one take effect at once.
A job that has nothing in its queue's window yet gets its first place there even when the window is full, as long as no
more than two windows stand in it and nothing more urgent waits: hints are doorbells (`jobstore.deserving`), so the next
one that rings serves it.
Order within a queue: priority, then fair shares of tenants by their weights; a tenant's own jobs by deadline, then in
turns, then by age. A share counts what is already queued or leased, divided by the tenant's weight (stride scheduling,
Waldspurger and Weihl 1995); otherwise the oldest job would win every single place that becomes free.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    Label,
    Row,
    Select,
    Text,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    update,
)

from jobstore.clock import db_now
from jobstore.hops import values_behind
from jobstore.queues import hardware_of
from jobstore.schema import RUNNABLE_STATES, Hint, ShardId, ShardState
from jobstore.tables import jobs, shards, tenants

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A shard that lost this many workers may be what kills them. Of those, a queue has one in work at a time, so that
#: a poisonous item cannot take innocent neighbours of the same process down again and again.
SUSPECT_DEATHS = 2
#: Names of the parameters of statements for one queue.
_QUEUE, _HARDWARE = "in_queue", "on_hardware"
_NO_STOP = 2**31 - 1
#: Seconds since the epoch that no deadline reaches; NULLs sort differently in the two databases.
NO_DEADLINE = 1e18


def release(db: Connection, window: int, queue: str | None) -> list[Hint]:
    """Mark the next shards as queued, up to `window` a queue, and give their hints in the order to send them."""
    statement = release_statement(window, of_one_queue=queue is not None)
    rows = db.execute(statement, {} if queue is None else in_queue(queue)).all()
    return [Hint(row.queue, ShardId(row.id), row.attempt) for row in _in_turn(rows)]


def in_queue(queue: str) -> dict[str, str]:
    """Give the parameters of a statement for one queue."""
    return {_QUEUE: queue, _HARDWARE: hardware_of(queue)}


def standing_in(state: ShardState) -> tuple[ColumnElement[bool], ...]:
    """Give the conditions that shards of the queue of `in_queue` in a state meet."""
    queue, hardware = bindparam(_QUEUE, type_=Text), bindparam(_HARDWARE, type_=Text)
    return shards.c.state == state, shards.c.hardware == hardware, shards.c.queue == queue


@lru_cache(maxsize=8)  # building it takes 1.5 ms, a third of a call
def release_statement(window: int, *, of_one_queue: bool) -> Update:
    """Build the statement for all queues, or for the one of `in_queue`; one a queue would fill memory.

    The outer `state = pending` is what makes two concurrent callers release nothing twice.
    """
    load = _load()
    room = select(load.c.queue, func.sum(load.c.queued).label("queued")).group_by(load.c.queue).cte("room")
    heads = _heads(load, of_one_queue)
    urgent = select(heads.c.queue, func.max(heads.c.priority).label("priority")).group_by(heads.c.queue).cte("urgent")
    left = window - func.coalesce(room.c.queued, 0)
    is_newcomer = and_(heads.c.busy == 0, heads.c.priority == urgent.c.priority, heads.c.place <= left + window)
    first = (
        select(heads, left.label("left"))
        .join_from(heads, urgent, urgent.c.queue == heads.c.queue)
        .outerjoin(room, room.c.queue == heads.c.queue)
        .where(case((left > 0, heads.c.place <= left), else_=is_newcomer))
        .cte("first")
    )
    ranked = _ranked(first, load, window)
    chosen = select(ranked.c.id).where(or_(ranked.c.place <= ranked.c.left, ranked.c.left <= 0))
    return (
        update(shards)
        .where(shards.c.state == ShardState.PENDING, shards.c.id.in_(chosen))
        .values(state=ShardState.QUEUED, enqueued_at=db_now())
        .returning(*_HINT_COLUMNS)
    )


@lru_cache(maxsize=8)
def in_line(count: int) -> CTE:
    """Give the ids of the first `count` pending shards of the queue of `in_queue`, with their `place`.

    Their order is that of the window.
    """
    load = _load()
    heads = _heads(load, of_one_queue=True)
    first = select(heads, literal(count).label("left")).where(heads.c.place <= count).cte("first")
    ranked = _ranked(first, load, count)
    return select(ranked.c.id, ranked.c.place).where(ranked.c.place <= count).cte("in_line")


def _of_job(column: Column[Any]) -> Label[Any]:
    return select(column).where(jobs.c.id == shards.c.job_id).scalar_subquery().label(column.name)


_HINT_COLUMNS = (
    *(shards.c.queue, shards.c.id, shards.c.attempt, shards.c.job_id, shards.c.seq),
    *(_of_job(jobs.c.tenant), _of_job(jobs.c.priority), _of_job(jobs.c.deadline)),
)


def _load() -> CTE:
    """What each job has queued or leased in each queue; small, whatever the backlog."""
    is_suspect = shards.c.deaths >= SUSPECT_DEATHS
    return (
        select(
            shards.c.queue,
            shards.c.job_id,
            jobs.c.tenant,
            func.count().label("busy"),
            func.sum(case((shards.c.state == ShardState.QUEUED, 1), else_=0)).label("queued"),
            func.sum(case((is_suspect, 1), else_=0)).label("suspects"),
        )
        .join(jobs, jobs.c.id == shards.c.job_id)
        .where(shards.c.state.in_([ShardState.QUEUED, ShardState.LEASED]))
        .group_by(shards.c.queue, shards.c.job_id, jobs.c.tenant)
        .cte("load")
    )


def _heads(load: CTE, of_one_queue: bool) -> CTE:
    """Running jobs that wait in a queue, by their first shard there, with the `place` of it among first shards.

    A job whose `place` is beyond so many has no shard among the first so many of all: each tenant's turns are as good
    with all his shards as with the first ones. So further shards are only looked at of jobs whose first may be chosen,
    and a running job more costs a release some microseconds. Of jobs that have suspects only, one is considered.
    """
    waiting, own = _waiting(of_one_queue), shards.alias("own")
    found = (
        select(
            waiting.c.queue,
            waiting.c.job_id,
            _pending_seq(own, waiting, own.c.deaths < SUSPECT_DEATHS).scalar_subquery().label("innocent_seq"),
            jobs.c.tenant,
            jobs.c.priority,
            jobs.c.created,
            func.coalesce(jobs.c.deadline, NO_DEADLINE).label("deadline"),
            func.coalesce(tenants.c.weight, 1.0).label("weight"),
            func.coalesce(load.c.busy, 0).label("busy"),
        )
        .join_from(waiting, jobs, jobs.c.id == waiting.c.job_id)
        .outerjoin(tenants, tenants.c.name == jobs.c.tenant)
        .outerjoin(load, and_(load.c.job_id == waiting.c.job_id, load.c.queue == waiting.c.queue))
        .where(jobs.c.state.in_(RUNNABLE_STATES))
        .cte("found")
    )
    turns = select(
        found,
        (found.c.busy + 1).label("turn"),
        func.coalesce(found.c.innocent_seq, _pending_seq(own, found).scalar_subquery()).label("seq"),
        case((found.c.innocent_seq.is_(None), 1), else_=0).label("suspect"),
    ).cte("head_turns")
    heads = _in_order(turns, load, "heads")
    return select(heads).where(or_(heads.c.suspect == 0, heads.c.place == 1)).cte("considered")


def _pending_seq(own: Any, place: CTE, *conditions: ColumnElement[bool]) -> Select[tuple[int]]:
    """The `seq` of the first pending shard of a job in a queue; `own` is the alias that `conditions` speak of."""
    is_there = (own.c.job_id == place.c.job_id, own.c.state == ShardState.PENDING, own.c.queue == place.c.queue)
    return select(own.c.seq).where(*is_there, *conditions).order_by(own.c.seq).limit(1)


def _waiting(of_one_queue: bool) -> CTE:
    """Each job that has pending shards in a queue, and the queue."""
    state = literal(str(ShardState.PENDING)).label("state")
    if not of_one_queue:
        return values_behind(select(state).cte("start"), (shards.c.hardware, shards.c.queue, shards.c.job_id))
    place = (bindparam(_HARDWARE, type_=Text).label("hardware"), bindparam(_QUEUE, type_=Text).label("queue"))
    return values_behind(select(state, *place).cte("start"), (shards.c.job_id,))


def _ranked(first: CTE, load: CTE, window: int) -> CTE:
    """Candidates with their `place` in their queue.

    Args:
        first: heads whose jobs may be chosen; what is `left` in a queue is how many of its candidates matter. With
            nothing left, each has its first shard only.
    """
    turns = _turns(first, window)
    suspects = select(load.c.queue, func.sum(load.c.suspects).label("n")).group_by(load.c.queue).cte("suspects")
    innocent = or_(turns.c.suspect == 0, and_(turns.c.suspect_turn == 1, func.coalesce(suspects.c.n, 0) == 0))
    candidates = (
        select(turns)
        .outerjoin_from(turns, suspects, suspects.c.queue == turns.c.queue)
        .where(innocent, turns.c.number <= turns.c.most)
        .cte("candidates")
    )
    return _in_order(candidates, load, "ranked", is_apart=False)


def _turns(first: CTE, window: int) -> CTE:
    """The first pending shards of these jobs with their `turn`: what the job has in work, plus their `number`.

    A job's `number`-th shard stands behind those before it and behind the first shards that are better than its own.
    """
    nth = shards.alias("nth")
    stop = _pending_seq(nth, first, nth.c.deaths < SUSPECT_DEATHS).offset(window).scalar_subquery()
    seqs = select(
        first,
        case((first.c.left > 0, 0), else_=first.c.seq).label("start"),
        case((first.c.left > 0, func.coalesce(stop, _NO_STOP)), else_=first.c.seq + 1).label("stop"),
    ).cte("seqs")
    suspect = case((shards.c.deaths >= SUSPECT_DEATHS, 1), else_=0)
    number = func.row_number().over(partition_by=(shards.c.queue, shards.c.job_id, suspect), order_by=shards.c.seq)
    by_suspicion = func.row_number().over(
        partition_by=(shards.c.queue, suspect), order_by=(seqs.c.priority.desc(), seqs.c.created, shards.c.seq)
    )
    return (
        select(
            shards.c.id,
            shards.c.queue,
            shards.c.seq,
            *(seqs.c[name] for name in ("tenant", "priority", "created", "deadline", "weight", "left")),
            suspect.label("suspect"),
            by_suspicion.label("suspect_turn"),
            number.label("number"),
            (seqs.c.busy + number).label("turn"),
            case((seqs.c.left > 0, seqs.c.left - seqs.c.place + 1), else_=1).label("most"),
        )
        .join(seqs, and_(seqs.c.job_id == shards.c.job_id, seqs.c.queue == shards.c.queue))
        .where(shards.c.state == ShardState.PENDING, shards.c.seq >= seqs.c.start, shards.c.seq < seqs.c.stop)
        .cte("turns")
    )


def _in_order(turns: CTE, load: CTE, name: str, *, is_apart: bool = True) -> CTE:
    """Give these shards' `place` in their queue.

    Args:
        is_apart: suspects have places of their own.
    """
    of_tenant = (
        select(load.c.queue, load.c.tenant, func.sum(load.c.busy).label("busy"))
        .group_by(load.c.queue, load.c.tenant)
        .cte(f"tenants_of_{name}")
    )
    apart = (turns.c.suspect,) if is_apart else ()
    by_tenant = func.row_number().over(
        partition_by=(turns.c.queue, turns.c.tenant, turns.c.priority, *apart),
        order_by=(turns.c.deadline, turns.c.turn, turns.c.created, turns.c.seq),
    )
    fair = (
        select(turns, ((func.coalesce(of_tenant.c.busy, 0) + by_tenant) / turns.c.weight).label("tenant_turn"))
        .outerjoin_from(
            turns, of_tenant, and_(of_tenant.c.queue == turns.c.queue, of_tenant.c.tenant == turns.c.tenant)
        )
        .cte(f"fair_{name}")
    )
    place = func.row_number().over(
        partition_by=(fair.c.queue, *((fair.c.suspect,) if is_apart else ())),
        order_by=(fair.c.priority.desc(), fair.c.tenant_turn, fair.c.deadline, fair.c.turn, fair.c.created, fair.c.seq),
    )
    return select(fair, place.label("place")).cte(name)


def _in_turn(rows: Sequence[Row[tuple[object, ...]]]) -> list[Row[tuple[object, ...]]]:
    """Order hints for sending: RETURNING gives them in any order, Redis keeps the one in which they come."""
    job_turns: Counter[str] = Counter()
    within_tenant = []
    for row in sorted(rows, key=lambda row: row.seq):
        job_turns[row.job_id] += 1
        deadline = NO_DEADLINE if row.deadline is None else row.deadline
        within_tenant.append(((-row.priority, deadline, job_turns[row.job_id], row.job_id), row))
    tenant_turns: Counter[str] = Counter()
    keyed = []
    for key, row in sorted(within_tenant, key=lambda pair: pair[0]):
        tenant_turns[row.tenant] += 1
        keyed.append(((-row.priority, tenant_turns[row.tenant], key), row))
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]
