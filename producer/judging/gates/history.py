"""Which earlier jobs a run is held against. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from jobstore.schema import JobState

if TYPE_CHECKING:
    from jobstore.views import JobStatus

#: So many nights outvote one that went wrong unnoticed.
NIGHTS = 3
_GOOD = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS})


def good_runs(job: JobStatus, jobs: Iterable[JobStatus], limit: int = NIGHTS) -> list[JobStatus]:
    """The last runs before this one that ended well, the newest first.

    Runs of one thing share tenant, model, task and name; a name that nobody gave says model and source.

    Args:
        jobs: candidates, the newest first, as the store lists them; `job` may be among them.
    """
    mine = _identity(job)
    found = (
        each
        for each in jobs
        if each.job_id != job.job_id
        and each.created <= job.created
        and _identity(each) == mine
        and each.state in _GOOD
        and not each.is_over_failure_limit
    )
    return list(itertools.islice(found, limit))


def _identity(job: JobStatus) -> tuple[str, str, str | None, str]:
    return job.tenant, job.model, job.task, job.name
