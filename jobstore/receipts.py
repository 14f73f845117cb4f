"""Backend decisions: written once a job and worker process, read by `explain`."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_json
from jobstore.schema import DecisionId, DecisionRow, JobId, WorkerId
from jobstore.tables import decisions, jobs
from jobstore.upsert import insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Sequence

_JSON = ("class_names", "candidates", "versions", "machine")
_RENAMED = ("decision_id", "created")
_PLAIN = tuple(field.name for field in fields(DecisionRow) if field.name not in (*_JSON, *_RENAMED))


def add_decisions(db: Connection, given: Sequence[tuple[DecisionId, DecisionRow]]) -> list[DecisionId]:
    """Write decisions; a job's first one also gives it its task, class names and model digest."""
    in_turn = sorted(given, key=lambda pair: pair[1].job_id)  # the order in which rows of jobs are locked
    rows = [_values(decision_id, row) for decision_id, row in in_turn]
    if rows:
        db.execute(insert_or_ignore(db, decisions).values(created=db_now()), rows)
        db.execute(_DESCRIBE, [{"job": row["job_id"], **{f"its_{n}": row[n] for n in _OF_JOB}} for row in rows])
    return [decision_id for decision_id, _ in given]


def _values(decision_id: DecisionId, row: DecisionRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _PLAIN} | {name: to_json(getattr(row, name)) for name in _JSON}
    return values | {"id": decision_id}


_OF_JOB = ("task", "class_names", "package_digest")
_DESCRIBE = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.task.is_(None) | jobs.c.model_digest.is_(None))
    .values(
        task=func.coalesce(jobs.c.task, bindparam("its_task")),
        class_names=func.coalesce(jobs.c.class_names, bindparam("its_class_names")),
        model_digest=func.coalesce(jobs.c.model_digest, bindparam("its_package_digest")),
    )
)


def decisions_of(db: Connection, job_id: JobId) -> list[DecisionRow]:
    """List a job's decisions, oldest first."""
    query = select(decisions).where(decisions.c.job_id == job_id).order_by(decisions.c.created, decisions.c.id)
    return [_decision(row) for row in db.execute(query).mappings()]


def _decision(row: RowMapping) -> DecisionRow:
    values = {name: row[name] for name in _PLAIN} | {name: from_json(row[name]) for name in _JSON}
    values |= {"class_names": tuple(values["class_names"]), "candidates": tuple(values["candidates"])}
    values |= {"job_id": JobId(row["job_id"]), "worker_id": WorkerId(row["worker_id"])}
    return DecisionRow(**values, created=row["created"], decision_id=DecisionId(row["id"]))
