"""Backend decisions: written once a job and worker process, read by `explain`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_json
from jobstore.schema import DecisionId, DecisionRow, JobId, WorkerId
from jobstore.tables import decisions, jobs
from jobstore.upsert import insert_or_ignore

_JSON = ("class_names", "candidates", "versions", "machine")
_RENAMED = ("decision_id", "created")
_PLAIN = tuple(field.name for field in fields(DecisionRow) if field.name not in (*_JSON, *_RENAMED))


def add_decision(db: Connection, decision_id: DecisionId, row: DecisionRow) -> DecisionId:
    """Write a decision; the job's first one also gives it its task, class names and model digest."""
    values: dict[str, Any] = {name: getattr(row, name) for name in _PLAIN}
    values |= {name: to_json(getattr(row, name)) for name in _JSON}
    values |= {"id": decision_id, "created": db_now()}
    db.execute(insert_or_ignore(db, decisions).values(values))
    db.execute(
        update(jobs)
        .where(jobs.c.id == row.job_id, jobs.c.task.is_(None) | jobs.c.model_digest.is_(None))
        .values(
            task=func.coalesce(jobs.c.task, row.task),
            class_names=func.coalesce(jobs.c.class_names, to_json(row.class_names)),
            model_digest=func.coalesce(jobs.c.model_digest, row.package_digest),
        )
    )
    return decision_id


def decisions_of(db: Connection, job_id: JobId) -> list[DecisionRow]:
    """List a job's decisions, oldest first."""
    query = select(decisions).where(decisions.c.job_id == job_id).order_by(decisions.c.created, decisions.c.id)
    return [_decision(row) for row in db.execute(query).mappings()]


def _decision(row: RowMapping) -> DecisionRow:
    values = {name: row[name] for name in _PLAIN} | {name: from_json(row[name]) for name in _JSON}
    values |= {"class_names": tuple(values["class_names"]), "candidates": tuple(values["candidates"])}
    values |= {"job_id": JobId(row["job_id"]), "worker_id": WorkerId(row["worker_id"])}
    return DecisionRow(**values, created=row["created"], decision_id=DecisionId(row["id"]))
