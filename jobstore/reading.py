"""What people and exports read: status, results page by page, failures by cause, decisions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, null, or_, select, tuple_

from jobstore.clock import db_now
from jobstore.counters import NAMES, counters_of
from jobstore.encoding import clip_of, count_objects, from_json
from jobstore.errors import JobNotFound
from jobstore.schema import ENDED_STATES, OPEN_SHARDS, DecisionId, ItemError, JobId, JobState, OutcomeState
from jobstore.service_tables import gate_verdicts
from jobstore.tables import IS_FAILED, items, jobs, outcomes, shards
from jobstore.views import FailureGroup, GateState, ItemRow, JobStatus, ResultRow

_EXAMPLES = 3


def status(db: Connection, job_id: JobId) -> JobStatus:
    """Give one job with the counters of this moment."""
    found = picked(db, select(*jobs.c).where(jobs.c.id == job_id))
    if not found:
        raise JobNotFound(f"no job {job_id}: see `nightshift jobs`")
    return found[0]


def state(db: Connection, job_id: JobId) -> JobState:
    """Give a job's state alone."""
    found = db.execute(select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one_or_none()
    if found is None:
        raise JobNotFound(f"no job {job_id}: see `nightshift jobs`")
    return JobState(found)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are listed.

    Attributes:
        tenant: None: everybody's.
        states: none: all.
        since: the oldest creation time, seconds since the epoch.
        text: in the id, the name, the model or the tags, capitals or not; empty: any.
        before: creation time and id of the last job of the page before.
    """

    tenant: str | None = None
    states: Collection[JobState] = ()
    since: float | None = None
    text: str = ""
    before: tuple[float, str] | None = None


def list_jobs(db: Connection, wanted: JobFilter, limit: int) -> list[JobStatus]:
    """List jobs, newest first."""
    query = select(*jobs.c).order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)
    if wanted.tenant is not None:
        query = query.where(jobs.c.tenant == wanted.tenant)
    if wanted.states:
        query = query.where(jobs.c.state.in_(sorted(wanted.states)))
    if wanted.since is not None:
        query = query.where(jobs.c.created >= wanted.since)
    if wanted.text:
        searched = (jobs.c.id, jobs.c.name, jobs.c.model, jobs.c.tags)
        query = query.where(or_(*(column.icontains(wanted.text, autoescape=True) for column in searched)))
    if wanted.before is not None:
        query = query.where(tuple_(jobs.c.created, jobs.c.id) < tuple_(*wanted.before))
    return picked(db, query)


def picked(db: Connection, query: Select[Any]) -> list[JobStatus]:
    """Give the jobs that a query of their columns picks, the newest first.

    The open shards' counters are added to the jobs' own in one statement: a finish moves them from one to the other.
    """
    chosen = query.cte("picked")
    running = (
        select(shards.c.job_id, *(func.sum(shards.c[name]).label(name) for name in NAMES))
        .where(shards.c.job_id.in_(select(chosen.c.id)), shards.c.state.in_(OPEN_SHARDS))
        .group_by(shards.c.job_id)
        .subquery("running")
    )
    counted = (
        select(
            chosen,
            *(running.c[name].label(f"running_{name}") for name in NAMES),
            gate_verdicts.c.state.label("gate_state"),
            db_now().label("now"),
        )
        .outerjoin(running, running.c.job_id == chosen.c.id)
        .outerjoin(gate_verdicts, gate_verdicts.c.job_id == chosen.c.id)
        .order_by(chosen.c.created.desc(), chosen.c.id.desc())
    )
    return [_status(row) for row in db.execute(counted).mappings()]


def _status(row: RowMapping) -> JobStatus:
    counted = counters_of(row) + counters_of({name: row[f"running_{name}"] for name in NAMES})
    class_names = from_json(row["class_names"])
    return JobStatus(
        job_id=JobId(row["id"]),
        state=JobState(row["state"]),
        ok=counted.ok,
        cached=counted.cached,
        failed=counted.failed,
        skipped=counted.skipped,
        objects=counted.objects,
        frames=counted.frames,
        hardware=tuple(from_json(row["hardware"])),
        params=from_json(row["params"]),
        wishes=from_json(row["wishes"]),
        tags=from_json(row["tags"]),
        video=from_json(row["video"]),
        class_names=None if class_names is None else tuple(class_names),
        gates=None if row["gate_state"] is None or row["state"] not in ENDED_STATES else GateState(row["gate_state"]),
        **{name: row[name] for name in _PLAIN},
    )


_PLAIN = (
    "tenant", "name", "model", "task", "reason", "message", "total", "priority", "max_failure_rate", "model_digest",
    "created", "started", "finished", "now", "max_failures", "canary_items", "deadline", "expires",
)  # fmt: skip


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


def result_page(
    db: Connection,
    job_id: JobId,
    states: Collection[OutcomeState],
    after: tuple[int, int],
    limit: int,
    *,
    with_blobs: bool = True,
) -> list[ResultRow]:
    """Give the next `limit` outcomes after `(idx, frame)`, in that order; `(-1, 0)` begins."""
    query = (
        _results(job_id, with_blobs=with_blobs)
        .where(tuple_(outcomes.c.idx, outcomes.c.frame) > tuple_(*after))
        .order_by(outcomes.c.idx, outcomes.c.frame)
        .limit(limit)
    )
    if states:
        query = query.where(outcomes.c.state.in_(sorted(states)))
    return [_result(row) for row in db.execute(query).mappings()]


def result_of(db: Connection, job_id: JobId, idx: int, frame: int) -> ResultRow | None:
    """Give one outcome; None: there is none yet."""
    query = _results(job_id, with_blobs=True).where(outcomes.c.idx == idx, outcomes.c.frame == frame)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _result(row)


def _results(job_id: JobId, *, with_blobs: bool) -> Select[Any]:
    """Outcomes of a job with their items; without blobs, which may be megabytes each, the column is null."""
    own = [column for column in outcomes.c if with_blobs or column is not outcomes.c.blob]
    blob = [] if with_blobs else [null().label("blob")]
    return (
        select(*own, *blob, items.c.uri, items.c.metadata, items.c.start_s, items.c.end_s)
        .join(items, (items.c.job_id == outcomes.c.job_id) & (items.c.idx == outcomes.c.idx))
        .where(outcomes.c.job_id == job_id)
    )


def item_page(db: Connection, job_id: JobId, wanted: ItemFilter, limit: int) -> list[ItemRow]:
    """Give the next `limit` items of the job in their order, each with its outcome."""
    ended = (outcomes.c.job_id == items.c.job_id) & (outcomes.c.idx == items.c.idx) & (outcomes.c.frame == 0)
    query = (
        select(items, *(outcomes.c[name] for name in _OF_OUTCOME))
        .outerjoin(outcomes, ended)
        .where(items.c.job_id == job_id, items.c.idx > wanted.after)
        .order_by(items.c.idx)
        .limit(limit)
    )
    if wanted.states or wanted.is_pending:
        is_wanted = outcomes.c.state.in_(sorted(wanted.states))
        query = query.where(or_(is_wanted, outcomes.c.state.is_(None)) if wanted.is_pending else is_wanted)
    if wanted.causes:
        query = query.where(outcomes.c.error_code.in_(sorted(wanted.causes)))
    return [_item(row) for row in db.execute(query).mappings()]


_OF_OUTCOME = ("state", "record", "error_code", "error_message", "timings_ms", "decision_id", "tries", "content")


def _item(row: RowMapping) -> ItemRow:
    state, code, decision = row["state"], row["error_code"], row["decision_id"]
    return ItemRow(
        idx=row["idx"],
        uri=row["uri"],
        metadata=from_json(row["metadata"]),
        clip=clip_of(row["start_s"], row["end_s"]),
        state=None if state is None else OutcomeState(state),
        error=None if code is None else ItemError(code, row["error_message"] or ""),
        objects=count_objects(from_json(row["record"])),
        tries=row["tries"] or 0,
        timings_ms=from_json(row["timings_ms"]),
        content=row["content"],
        decision_id=None if decision is None else DecisionId(decision),
    )


def result_count(db: Connection, job_id: JobId, states: Collection[OutcomeState]) -> int:
    """Count outcomes; a video counts once a frame."""
    query = select(func.count()).select_from(outcomes).where(outcomes.c.job_id == job_id)
    if states:
        query = query.where(outcomes.c.state.in_(sorted(states)))
    return db.execute(query).scalar_one()


def _result(row: RowMapping) -> ResultRow:
    code = row["error_code"]
    decision = row["decision_id"]
    return ResultRow(
        idx=row["idx"],
        frame=row["frame"],
        uri=row["uri"],
        metadata=from_json(row["metadata"]),
        state=OutcomeState(row["state"]),
        record=from_json(row["record"]),
        blob=row["blob"],
        error=None if code is None else ItemError(code, row["error_message"] or ""),
        timings_ms=from_json(row["timings_ms"]),
        decision_id=None if decision is None else DecisionId(decision),
        attempt=row["attempt"],
        timestamp_s=row["timestamp_s"],
        content=row["content"],
        clip=clip_of(row["start_s"], row["end_s"]),
    )


def failures(db: Connection, job_id: JobId) -> list[FailureGroup]:
    """Group failed items by code, the most frequent first, each with its first three URIs.

    Reads failed rows only, by `ix_outcomes_failed`, however many items went well.
    """
    numbered = (
        select(
            outcomes.c.idx,
            outcomes.c.error_code,
            outcomes.c.error_message,
            func.count().over(partition_by=outcomes.c.error_code).label("failed"),
            func.row_number()
            .over(partition_by=outcomes.c.error_code, order_by=(outcomes.c.idx, outcomes.c.frame))
            .label("n"),
        )
        .where(outcomes.c.job_id == job_id, IS_FAILED, outcomes.c.frame == 0)
        .subquery()
    )
    query = (
        select(numbered, items.c.uri)
        .join(items, (items.c.job_id == job_id) & (items.c.idx == numbered.c.idx))
        .where(numbered.c.n <= _EXAMPLES)
        .order_by(numbered.c.failed.desc(), numbered.c.error_code, numbered.c.n)
    )
    groups: dict[str, list[Any]] = {}
    for row in db.execute(query):
        groups.setdefault(row.error_code or "unknown", []).append(row)
    return [
        FailureGroup(
            code, rows[0].failed, tuple(r.uri for r in rows), rows[0].error_message or "", tuple(r.idx for r in rows)
        )
        for code, rows in groups.items()
    ]
