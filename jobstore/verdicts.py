"""How jobs with gates compare with the good runs before them: who judges, what was found, and which runs are good.

What the figures mean is the judge's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, or_, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, storable, to_json
from jobstore.errors import JobNotFound
from jobstore.events import add_event
from jobstore.reading import picked, status
from jobstore.schema import JobId
from jobstore.service_tables import gate_verdicts as table
from jobstore.tables import jobs
from jobstore.verdict_requests import JUDGED_ENDS
from jobstore.views import GateState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobstore.connection import Database
    from jobstore.views import JobStatus

#: Tries after which a job that could not be judged, or kept losing its judge, is given up.
MAX_TRIES = 5
_LOST = f"whoever judged it was lost {MAX_TRIES} times"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a job's gates said.

    Attributes:
        tries: also the fence: a note of an earlier try changes nothing.
        limits: what it is judged by.
        figures: what the run came to; None: nobody has counted it yet.
        report: each gate with its finding; None: nobody has judged it yet.
        message: why it could not be judged.
        judged: seconds since the epoch.
    """

    job_id: JobId
    state: GateState
    tries: int
    owner: str | None
    limits: Mapping[str, Any]
    figures: Mapping[str, Any] | None
    report: Mapping[str, Any] | None
    message: str | None
    created: float
    judged: float | None


@dataclass(frozen=True, slots=True)
class GoodRun:
    """A run that another is held against; `figures` as its verdict keeps them, None where it has none."""

    job: JobStatus
    figures: Mapping[str, Any] | None


class Verdicts:
    """The verdicts of a store; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of_job(self, job_id: JobId) -> Verdict | None:
        """Give a job's verdict; None: it has no gates, or has not ended."""
        return self._db.read(lambda db: _of_job(db, job_id))

    def limits_of(self, job_id: JobId) -> Mapping[str, Any] | None:
        """Give the limits that a job is judged by when it ends, where they are not the usual ones; None: it is not.

        Raises:
            JobNotFound.
        """
        return self._db.read(lambda db: _limits_of(db, job_id))

    def good_runs(self, job_id: JobId, limit: int) -> Sequence[GoodRun]:
        """List the last good runs before a job, the newest first.

        Of a schedule's job, those of the same schedule; of another, those of the same tenant and name; always of the
        same model and task. Good is what completed within its failure limits, and what no gate spoke against.
        """
        return self._db.read(lambda db: _good_runs(db, job_id, limit))

    def claim(self, owner: str, lease_s: float, job_id: JobId | None = None) -> Verdict | None:
        """Take the oldest job that nobody judges, or this one; None: there is none."""
        return self._db.write(lambda db: _claim(db, owner, lease_s, job_id))

    def renew(self, verdict: Verdict, lease_s: float) -> bool:
        """Lengthen the lease of a claimed one; False: somebody else has it by now."""
        change = update(table).where(_is_held(verdict)).values(lease_until=db_now() + lease_s)
        return self._db.change(lambda db: db.execute(change).rowcount == 1)

    def judged(
        self, verdict: Verdict, figures: Mapping[str, Any], report: Mapping[str, Any], failed: Mapping[str, str]
    ) -> bool:
        """Note what a claimed job's gates said; who wants to know of a failure is told. False: somebody else has it.

        Args:
            failed: gate -> words; none: it passed.
        """
        return self._db.change(lambda db: _judged(db, verdict, figures, report, failed))

    def failed(self, verdict: Verdict, message: str, retry_s: float | None) -> bool:
        """Note that a claimed job could not be judged, and when the next try is due; False: somebody else has it.

        Args:
            retry_s: None: no further try can help.
        """
        is_over = retry_s is None or verdict.tries >= MAX_TRIES
        ended = {"state": GateState.BROKEN, "lease_until": None, "judged": db_now()}
        later = {"lease_until": db_now() + (retry_s or 0.0)}
        values = {"owner": None, "message": storable(message), **(ended if is_over else later)}
        change = update(table).where(_is_held(verdict)).values(values)
        return self._db.change(lambda db: db.execute(change).rowcount == 1)

    def accept(self, job_id: JobId) -> bool:
        """Take a run that failed its gates for a good one, which later runs are held against; False: it did not fail.

        Raises:
            JobNotFound.
        """
        return self._db.change(lambda db: _accept(db, job_id))


def _read() -> Any:
    return select(table, jobs.c.gates).join(jobs, jobs.c.id == table.c.job_id)


def _of_job(db: Connection, job_id: JobId) -> Verdict | None:
    row = db.execute(_read().where(table.c.job_id == job_id)).mappings().one_or_none()
    return None if row is None else _verdict(row)


def _limits_of(db: Connection, job_id: JobId) -> Mapping[str, Any] | None:
    row = db.execute(select(jobs.c.gates).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise JobNotFound(f"no job {job_id}: see `nightshift jobs`")
    found: Mapping[str, Any] | None = from_json(row.gates)
    return found


def _good_runs(db: Connection, job_id: JobId, limit: int) -> Sequence[GoodRun]:
    mine = db.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one_or_none()
    if mine is None:
        raise JobNotFound(f"no job {job_id}: see `nightshift jobs`")
    names = ("tenant", "model", "task", "schedule_id", *(() if mine["schedule_id"] else ("name",)))
    is_alike = (jobs.c[name].is_not_distinct_from(mine[name]) for name in names)
    is_good = and_(
        jobs.c.state.in_(JUDGED_ENDS),
        jobs.c.failed <= jobs.c.max_failure_rate * jobs.c.total,
        or_(jobs.c.max_failures.is_(None), jobs.c.failed <= jobs.c.max_failures),
        or_(table.c.state.is_(None), table.c.state.in_([GateState.PASSED, GateState.ACCEPTED])),
    )
    query = (
        select(*jobs.c)
        .outerjoin(table, table.c.job_id == jobs.c.id)
        .where(*is_alike, is_good, jobs.c.id != job_id, jobs.c.created <= mine["created"])
        .order_by(jobs.c.created.desc(), jobs.c.id.desc())
        .limit(limit)
    )
    found = picked(db, query)
    kept = select(table.c.job_id, table.c.figures).where(table.c.job_id.in_([job.job_id for job in found]))
    figures = {row.job_id: from_json(row.figures) for row in db.execute(kept)}
    return [GoodRun(job, figures.get(job.job_id)) for job in found]


def _claim(db: Connection, owner: str, lease_s: float, wanted: JobId | None) -> Verdict | None:
    is_over = or_(table.c.lease_until.is_(None), table.c.lease_until < db_now())
    is_due = and_(table.c.state == GateState.PENDING, is_over)
    if wanted is not None:
        is_due = and_(is_due, table.c.job_id == wanted)
    given_up = {"state": GateState.BROKEN, "message": _LOST, "judged": db_now(), "lease_until": None}
    db.execute(update(table).where(is_due, table.c.tries >= MAX_TRIES).values(given_up))
    first = select(table.c.job_id).where(is_due).order_by(table.c.created, table.c.job_id).limit(1)
    taken = {"owner": owner, "lease_until": db_now() + lease_s, "tries": table.c.tries + 1}
    change = update(table).where(table.c.job_id == first.with_for_update(skip_locked=True).scalar_subquery(), is_due)
    job_id = db.execute(change.values(taken).returning(table.c.job_id)).scalar_one_or_none()
    return None if job_id is None else _of_job(db, JobId(job_id))


def _judged(
    db: Connection,
    verdict: Verdict,
    figures: Mapping[str, Any],
    report: Mapping[str, Any],
    failed: Mapping[str, str],
) -> bool:
    values = {
        "state": GateState.FAILED if failed else GateState.PASSED,
        "owner": None,
        "lease_until": None,
        "message": None,
        "figures": to_json(figures),
        "report": storable(to_json(report)),
        "judged": db_now(),
    }
    if db.execute(update(table).where(_is_held(verdict)).values(values)).rowcount != 1:
        return False
    add_event(db, verdict.job_id, "gates_failed" if failed else "gates_passed", {"failed": dict(failed)})
    return True


def _accept(db: Connection, job_id: JobId) -> bool:
    if status(db, job_id).gates is not GateState.FAILED:  # of a job that runs again, the verdict is of its last end
        return False
    is_failed = and_(table.c.job_id == job_id, table.c.state == GateState.FAILED)
    if db.execute(update(table).where(is_failed).values(state=GateState.ACCEPTED)).rowcount != 1:
        return False
    add_event(db, job_id, "gates_accepted", {})
    return True


def _is_held(verdict: Verdict) -> ColumnElement[bool]:
    return and_(
        table.c.job_id == verdict.job_id,
        table.c.state == GateState.PENDING,
        table.c.owner == verdict.owner,
        table.c.tries == verdict.tries,
    )


def _verdict(row: RowMapping) -> Verdict:
    return Verdict(
        job_id=JobId(row["job_id"]),
        state=GateState(row["state"]),
        limits=from_json(row["gates"]) or {},
        figures=from_json(row["figures"]),
        report=from_json(row["report"]),
        **{name: row[name] for name in ("tries", "owner", "message", "created", "judged")},
    )
