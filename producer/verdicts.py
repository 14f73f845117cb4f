"""Verdicts of gates as those may see them whose jobs they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.answers import GatesAnswer
from producer.judging.gates import Finding, GateLimits, RunFigures

if TYPE_CHECKING:
    from jobstore.schema import JobId
    from jobstore.store import JobStore


def gates_of(store: JobStore, job_id: JobId) -> GatesAnswer:
    """Give what a job's gates say of it, as far as anybody knows by now.

    Raises:
        JobNotFound.
    """
    limits = store.verdicts.limits_of(job_id)
    if limits is None:
        return GatesAnswer(job_id)
    asked = GateLimits(**limits)
    # While a job runs again, the verdict that is kept is of its last end.
    verdict = None if store.status(job_id).gates is None else store.verdicts.of_job(job_id)
    if verdict is None:
        return GatesAnswer(job_id, asked)
    report = verdict.report or {}
    return GatesAnswer(
        job_id,
        asked,
        state=verdict.state,
        figures=None if verdict.figures is None else RunFigures(**verdict.figures),
        findings=tuple(Finding(**each) for each in report.get("findings", ())),
        compared_with=tuple(report.get("compared_with", ())),
        note=report.get("note", ""),
        message=verdict.message,
        judged=verdict.judged,
    )
