"""Which jobs are to be judged: those with gates, when they complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection

from jobstore.clock import db_now
from jobstore.schema import JobId, JobState
from jobstore.service_tables import gate_verdicts
from jobstore.upsert import insert_or_update
from jobstore.views import GateState

if TYPE_CHECKING:
    from typing import Any

#: Ends of a job that are judged, and that others are judged by; who gave up or was stopped is no measure.
JUDGED_ENDS = (JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS)


def judge_at_end(db: Connection, job_id: JobId) -> None:
    """Ask for the verdict on a job with gates, in the transaction of its end; the verdict of an earlier end goes."""
    asked: dict[str, Any] = {"job_id": job_id, "state": GateState.PENDING, "tries": 0, "created": db_now()}
    nothing = dict.fromkeys(("owner", "lease_until", "figures", "report", "message", "judged"))
    db.execute(insert_or_update(db, gate_verdicts, "job_id", asked | nothing, frozenset()))
