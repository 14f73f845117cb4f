"""Exports that somebody asked a server for, or that a job writes when it ends: who makes them, and how they end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, and_, delete, insert, or_, select, update

from jobstore.aftercare import SHELF, Output
from jobstore.clock import db_now
from jobstore.encoding import from_json, storable, to_json
from jobstore.errors import ExportNotFound
from jobstore.file_lock import name_files
from jobstore.ids import new_id
from jobstore.schema import JobId, JobState
from jobstore.service_tables import exports
from jobstore.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from jobstore.connection import Database

#: Tries after which an export that kept failing, or kept losing its exporter, is given up.
MAX_TRIES = 5
#: Ends of a job that write its `output`: what was labelled until it expired is wanted, too.
EXPORTED_ENDS = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS, JobState.EXPIRED})
_LOST = f"whoever made it was lost {MAX_TRIES} times"


class ExportState(StrEnum):
    """pending -> running -> done | failed; a running one whose lease ran out is taken by the next."""

    PENDING = "pending"  # nobody makes it yet, or it waits for its next try
    RUNNING = "running"  # somebody makes it until `lease_until`
    DONE = "done"  # it is written
    FAILED = "failed"  # it cannot be written; `message` says why


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """One export.

    Attributes:
        tries: also the fence: a write of an earlier try changes nothing.
        summary: what was written, a record a format.
        message: why it failed, or why the last try did.
    """

    export_id: str
    tenant: str
    job_id: JobId
    output: Output
    state: ExportState
    tries: int
    owner: str | None
    summary: tuple[Mapping[str, Any], ...]
    message: str | None
    created: float
    finished: float | None


class ExportRequests:
    """The exports of a store; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def ask(self, job_id: JobId, output: Output) -> str:
        """Ask for an export of a job, whatever its state, and give the export's id."""
        export_id = new_id()
        return self._db.write(lambda db: _ask_for_files(db, export_id, job_id, output))

    def get(self, export_id: str, tenant: str | None = None) -> ExportRequest:
        """Give one export; None searches all tenants.

        Raises:
            ExportNotFound.
        """
        return self._db.read(lambda db: _get(db, export_id, tenant))

    def of_job(self, job_id: JobId) -> list[ExportRequest]:
        """List a job's exports, the newest first."""
        query = select(exports).where(exports.c.job_id == job_id).order_by(exports.c.created.desc(), exports.c.id)
        return self._db.read(lambda db: [_request(row) for row in db.execute(query).mappings()])

    def claim(self, owner: str, lease_s: float, shelf: str | None = None) -> ExportRequest | None:
        """Take the oldest export that nobody makes; None: there is none.

        Args:
            shelf: `dest` of the server's folder that the owner reaches: what is kept in others is made by others.
        """
        return self._db.write(lambda db: _claim(db, owner, lease_s, shelf))

    def renew(self, request: ExportRequest, lease_s: float) -> bool:
        """Lengthen the lease of a claimed export; False: somebody else has it by now."""
        change = update(exports).where(_is_held(request)).values(lease_until=db_now() + lease_s)
        return self._db.change(lambda db: db.execute(change).rowcount == 1)

    def done(self, request: ExportRequest, summary: tuple[Mapping[str, Any], ...]) -> bool:
        """Note what a claimed export has written; False: somebody else has it by now."""
        ended = {"state": ExportState.DONE, "summary": to_json(summary), "message": None, "finished": db_now()}
        return self._end(request, ended)

    def failed(self, request: ExportRequest, message: str, retry_s: float | None) -> bool:
        """Note that a claimed export failed, and when the next try is due; False: somebody else has it by now.

        Args:
            retry_s: None: no further try can help.
        """
        if retry_s is None or request.tries >= MAX_TRIES:
            ended = {"state": ExportState.FAILED, "message": storable(message), "finished": db_now()}
            return self._end(request, ended)
        later = {"state": ExportState.PENDING, "message": storable(message), "lease_until": db_now() + retry_s}
        return self._end(request, later)

    def prune(self, older_than_s: float) -> int:
        """Forget exports that ended longer ago than this, not what they wrote; give their number."""
        is_over = and_(
            exports.c.state.in_([ExportState.DONE, ExportState.FAILED]), exports.c.finished < db_now() - older_than_s
        )
        return self._db.write(lambda db: db.execute(delete(exports).where(is_over)).rowcount)

    def ages(self, export_ids: Collection[str]) -> Mapping[str, float | None]:
        """Give the seconds since these exports ended, by id; None: one has not. What is not there is missing."""
        query = select(exports.c.id, (db_now() - exports.c.finished).label("age")).where(exports.c.id.in_(export_ids))
        return self._db.read(lambda db: {row.id: row.age for row in db.execute(query)})

    def forget(self, export_id: str) -> None:
        """Forget an export that has ended, not what it wrote; one that has not stays."""
        is_it = and_(exports.c.id == export_id, exports.c.finished.is_not(None))
        self._db.write(lambda db: db.execute(delete(exports).where(is_it)))

    def _end(self, request: ExportRequest, values: dict[str, Any]) -> bool:
        change = update(exports).where(_is_held(request)).values({"lease_until": None, "owner": None, **values})
        return self._db.change(lambda db: db.execute(change).rowcount == 1)


def ask_at_end(db: Connection, job_id: JobId, output: Output) -> None:
    """Ask for what a job wants written, in the transaction of its end, which is one of `EXPORTED_ENDS`."""
    _ask(db, new_id(), job_id, output)


def _ask_for_files(db: Connection, export_id: str, job_id: JobId, output: Output) -> str:
    """Ask for an export of a job that may have ended, and needed no files before."""
    name_files(db)
    return _ask(db, export_id, job_id, output)


def _ask(db: Connection, export_id: str, job_id: JobId, output: Output) -> str:
    row = {
        "id": export_id,
        "tenant": select(jobs.c.tenant).where(jobs.c.id == job_id).scalar_subquery(),
        "job_id": job_id,
        "formats": to_json(output.formats),
        "options": to_json(output.options),
        "dest": output.dest,
        "state": ExportState.PENDING,
        "created": db_now(),
    }
    if db.execute(select(exports.c.id).where(exports.c.id == export_id)).first() is None:  # else: our answer was lost
        db.execute(insert(exports).values(row))
    return export_id


def _get(db: Connection, export_id: str, tenant: str | None) -> ExportRequest:
    query = select(exports).where(exports.c.id == export_id)
    if tenant is not None:
        query = query.where(exports.c.tenant == tenant)
    row = db.execute(query).mappings().one_or_none()
    if row is None:
        raise ExportNotFound(f"no export {export_id}: see the exports of its job")
    return _request(row)


def _claim(db: Connection, owner: str, lease_s: float, shelf: str | None) -> ExportRequest | None:
    is_over = or_(exports.c.lease_until.is_(None), exports.c.lease_until < db_now())
    is_due = and_(exports.c.state.in_([ExportState.PENDING, ExportState.RUNNING]), is_over)
    db.execute(
        update(exports)
        .where(is_due, exports.c.tries >= MAX_TRIES)
        .values(state=ExportState.FAILED, message=_LOST, finished=db_now(), lease_until=None)
    )
    # Two claimers at once: the second passes over the first one's row, or waits for it and finds it no longer due.
    is_ours = or_(exports.c.dest.not_like(f"{SHELF}%"), exports.c.dest == shelf)
    first = select(exports.c.id).where(is_due, is_ours).order_by(exports.c.created, exports.c.id).limit(1)
    taken = {
        "state": ExportState.RUNNING,
        "owner": owner,
        "lease_until": db_now() + lease_s,
        "tries": exports.c.tries + 1,
    }
    change = update(exports).where(exports.c.id == first.with_for_update(skip_locked=True).scalar_subquery(), is_due)
    row = db.execute(change.values(taken).returning(*exports.c)).mappings().one_or_none()
    return None if row is None else _request(row)


def _is_held(request: ExportRequest) -> Any:
    return and_(
        exports.c.id == request.export_id,
        exports.c.state == ExportState.RUNNING,
        exports.c.owner == request.owner,
        exports.c.tries == request.tries,
    )


def _request(row: RowMapping) -> ExportRequest:
    return ExportRequest(
        export_id=row["id"],
        job_id=JobId(row["job_id"]),
        output=Output(row["dest"], tuple(from_json(row["formats"])), from_json(row["options"])),
        state=ExportState(row["state"]),
        summary=tuple(from_json(row["summary"]) or ()),
        **{name: row[name] for name in ("tenant", "tries", "owner", "message", "created", "finished")},
    )
