"""A job's failures by cause. Read along `ix_outcomes_failed`, cause by cause, however many items went well."""

from __future__ import annotations

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
    groups = [_group(db, job_id, code) for code in failed_codes(db, job_id)]
    return sorted((group for group in groups if group.count), key=lambda group: (-group.count, group.code))


def failed_codes(db: Connection, job_id: JobId) -> list[str | None]:
    """Give the causes of a job's failures, each by one look into the index; None stands for those without a code."""
    query = select(outcomes.c.error_code).where(outcomes.c.job_id == job_id, IS_FAILED)
    query = query.order_by(outcomes.c.error_code, outcomes.c.idx).limit(1)
    found: list[str | None] = []
    code: str | None = db.execute(query.where(outcomes.c.error_code > "")).scalar()
    while code is not None:
        found.append(code)
        code = db.execute(query.where(outcomes.c.error_code > code)).scalar()
    is_without = db.execute(query.where(outcomes.c.error_code.is_(None))).first() is not None
    return [*found, None] if is_without else found


def failed_of(job_id: JobId, code: str | None) -> tuple[ColumnElement[bool] | TextClause, ...]:
    """Give the conditions of a job's items that failed by one cause; in the index's order, sort by code and `idx`."""
    return (outcomes.c.job_id == job_id, IS_FAILED, outcomes.c.error_code == code, outcomes.c.frame == 0)


def _group(db: Connection, job_id: JobId, code: str | None) -> FailureGroup:
    its = failed_of(job_id, code)
    count = db.execute(select(func.count()).select_from(outcomes).where(*its)).scalar_one()
    first = select(outcomes.c.idx, outcomes.c.error_message).where(*its)
    rows = db.execute(first.order_by(outcomes.c.error_code, outcomes.c.idx).limit(_EXAMPLES)).all()
    indices = tuple(row.idx for row in rows)
    named = rows_of(db, items, [items.c.idx, items.c.uri], items.c.job_id == job_id, indices)
    uris = tuple(str(named[idx]["uri"]) for idx in indices)
    return FailureGroup(code or _UNKNOWN, count, uris, (rows[0].error_message or "") if rows else "", indices)
