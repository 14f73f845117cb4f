"""How a job ended, in words: the same from `wait`, on the command line and on pages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobstore.schema import JobState

if TYPE_CHECKING:
    from jobstore.views import JobStatus

#: Hexadecimal digits of an id that people see; the store finds a job by its tail.
SHORT_ID = 6


def short(full_id: str) -> str:
    """Give the tail of a job's or worker's id, which tells those apart that were born in one minute."""
    return full_id[-SHORT_ID:]


def ending_lines(status: JobStatus) -> tuple[str, str, str] | None:
    """Give what is wrong, why and what to do of a job that did not end well or has stopped, else None."""
    job, message = short(status.job_id), status.message or ""
    if status.state is JobState.FAILED:
        return f"the job failed: {status.reason}", message, f"nightshift explain {status.model}"
    if status.state is JobState.CANCELLED:
        return "the job was cancelled", message, f"nightshift retry {job} --skipped     does the rest"
    if status.state is JobState.EXPIRED:
        return "the job's time was over", message, f"nightshift retry {job} --skipped     does the rest"
    if status.state is JobState.NEEDS_ATTENTION:
        return f"the job needs attention: {status.reason}", message, f"nightshift resume {job}     goes on"
    if status.is_over_failure_limit:
        found = f"{status.failed:,} of {status.total:,} failed, which is {status.failed / status.total:.1%}"
        found += f"; the limit is {status.max_failure_rate:.1%}"
        found += "" if status.max_failures is None else f", and {status.max_failures:,} image"
        found += "s" if status.max_failures not in (None, 1) else ""
        return "the job ended over its failure limit", found, f"nightshift retry {job}     runs what failed again"
    return None


def words_of_timeout(status: JobStatus) -> str:
    """Say how far a job is that somebody waited for in vain."""
    return (
        f"job {status.job_id} is {status.state}, {status.pending:,} of {status.total:,} items left; it goes on: wait "
        "again, or see status().message and why_waiting()"
    )
