"""A job's failures by cause. Read along `ix_outcomes_failed`, cause by cause, however many items went well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, TextClause, func, select

from jobstore.keys import go_by_keys, rows_of
from jobstore.schema import JobId
from jobstore.tables import IS_FAILED, items, outcomes
from jobstore.views import FailureGroup

_EXAMPLES = 3
_UNKNOWN = "unknown"


def by_keys(db: Connection, job_id: JobId) -> list[FailureGroup]:
    """Give the same as `failures`, in a transaction that only reads: nothing else is planned well after it."""
    go_by_keys(db)
    return failures(db, job_id)


def failures(db: Connection, job_id: JobId) -> list[FailureGroup]:
    """Group failed items by code, the most frequent first, each with its first three URIs."""
    groups = list(_causes(db, job_id))
    shown = [row.idx for rows in groups for row in rows]
    uris = rows_of(db, items, [items.c.idx, items.c.uri], items.c.job_id == job_id, shown)
    found = [
        FailureGroup(
            code=rows[0].error_code or _UNKNOWN,
            count=_count(db, job_id, rows[0].error_code),
            examples=tuple(str(uris[row.idx]["uri"]) for row in rows),
            message=rows[0].error_message or "",
            indices=tuple(row.idx for row in rows),
        )
        for rows in groups
    ]
    return sorted(found, key=lambda group: (-group.count, group.code))


def failed_codes(db: Connection, job_id: JobId) -> list[str | None]:
    """Give the causes of a job's failures; None stands for those without a code."""
    return [rows[0].error_code for rows in _causes(db, job_id)]


def failed_of(job_id: JobId, code: str | None) -> tuple[ColumnElement[bool] | TextClause, ...]:
    """Give the conditions of a job's items that failed by one cause; in the index's order, sort by code and `idx`."""
    return (*_failed(job_id), outcomes.c.error_code == code)


def _causes(db: Connection, job_id: JobId) -> Iterator[Sequence[Any]]:
    """Give the first failures of each cause: one look into the index for each, and two for there being no more."""
    query = select(outcomes.c.error_code, outcomes.c.idx, outcomes.c.error_message).where(*_failed(job_id))
    query = query.order_by(outcomes.c.error_code, outcomes.c.idx).limit(_EXAMPLES)
    code = ""
    while rows := db.execute(query.where(outcomes.c.error_code > code)).all():
        code = rows[0].error_code
        yield [row for row in rows if row.error_code == code]
    if rows := db.execute(query.where(outcomes.c.error_code.is_(None))).all():
        yield rows


def _failed(job_id: JobId) -> tuple[ColumnElement[bool] | TextClause, ...]:
    return (outcomes.c.job_id == job_id, IS_FAILED, outcomes.c.frame == 0)


def _count(db: Connection, job_id: JobId, code: str | None) -> int:
    return db.execute(select(func.count()).select_from(outcomes).where(*failed_of(job_id, code))).scalar_one()
