"""A job of the store, held against the good runs before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from producer.judging.gates.checking import GateLimits, GateReport, check
from producer.judging.gates.figures import RunFigures, figures_of

if TYPE_CHECKING:
    from jobstore.schema import JobId
    from jobstore.store import JobStore
    from jobstore.verdicts import GoodRun, Verdict

#: Good runs that a job is held against: so many nights outvote one that went wrong unnoticed.
NIGHTS = 3


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the figures that led to it, which later nights need not count again."""

    figures: RunFigures
    report: GateReport


def judge(store: JobStore, job_id: JobId, limits: GateLimits, against: Sequence[JobId] | None = None) -> Judgement:
    """Count a job's rows and hold it against others.

    Args:
        against: jobs that it is held against; None: the last good ones of the same schedule, or of the same name.

    Raises:
        JobNotFound.
    """
    tonight = figures_of(store.status(job_id), store.results(job_id))
    if against is None:
        before = [_figures(store, run) for run in store.verdicts.good_runs(job_id, NIGHTS)]
    else:
        before = [figures_of(store.status(each), store.results(each)) for each in against]
    return Judgement(tonight, check(tonight, before, limits))


def words_of(verdict: Verdict) -> str:
    """Say what speaks against a job, or why nobody could judge it; empty: nothing does."""
    findings = (verdict.report or {}).get("findings", ())
    against = "; ".join(f"{each['gate']}: {each['message']}" for each in findings if not each["passed"])
    return verdict.message or against


def _figures(store: JobStore, run: GoodRun) -> RunFigures:
    if run.figures is not None:
        return RunFigures(**run.figures)
    return figures_of(run.job, store.results(run.job.job_id))
