"""The error policy of a job: how many items may fail before the rest is not worth spoiling.

Small jobs run to their end and are judged there (`JobStatus.is_over_failure_limit`). A job stops at its absolute limit,
and a job with a canary also as soon as it cannot end within its rate. Failures that a resume forgave do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, and_, func, or_, select

from jobstore.failing import failures
from jobstore.schema import RUNNABLE_STATES, JobId, JobState, ShardState
from jobstore.steering import open_failures, stop
from jobstore.tables import jobs, shards

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobstore.views import FailureGroup

TOO_MANY_FAILURES = "too_many_failures"
FAILURE_RATE_EXCEEDED = "failure_rate_exceeded"
CANARY_FAILED = "canary_failed"
#: A canary stops its job when a job within its limit would look as bad as this, or worse, less often than so.
CHANCE = 0.05
_HOW_TO_GO_ON = (
    "`nightshift resume` goes on and counts from here, with --ignore-failures to the end; `nightshift cancel` ends it"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may lose.

    Attributes:
        max_failures: failed items; None: any number.
        rate: share of the job's items; None: it does not stop the job.
    """

    total: int
    max_failures: int | None
    rate: float | None


def broken_limit(limits: Limits, failed: int) -> tuple[str, str] | None:
    """Give the code and the words of the limit that `failed` items are over, or None."""
    if limits.max_failures is not None and failed > limits.max_failures:
        return TOO_MANY_FAILURES, f"{failed:,} items failed, {limits.max_failures:,} may"
    if limits.rate is not None and failed > limits.rate * limits.total:
        return FAILURE_RATE_EXCEEDED, f"{failed:,} of {limits.total:,} items failed, {limits.rate:.1%} may"
    return None


def is_beyond_chance(failed: int, seen: int, rate: float) -> bool:
    """Say whether so many failures among the first `seen` items are unlikely for a job whose share is `rate`.

    The share alone would stop one in eight jobs that lose 1 % where 2 % may be lost: two failures of 64 are 3 %.
    """
    fewer = sum(comb(seen, k) * rate**k * (1 - rate) ** (seen - k) for k in range(failed))
    return failed > rate * seen and 1 - fewer < CHANCE


def judge_failures(db: Connection, job_id: JobId) -> bool:
    """Stop a running job that is over one of its limits; say whether it was stopped."""
    job = db.execute(select(jobs).where(jobs.c.id == job_id)).one()
    if job.state not in RUNNABLE_STATES or (job.max_failures is None and not job.canary_items):
        return False
    limits = Limits(job.total, job.max_failures, job.max_failure_rate if job.canary_items else None)
    broken = broken_limit(limits, job.failed + open_failures(db, job_id) - job.forgiven)
    return broken is not None and stop_for_attention(db, job_id, *broken)


def judge_running(db: Connection) -> int:
    """Judge every running job whose ended and leased shards have lost too much; two flushes at once see half each."""
    leased = (
        select(shards.c.job_id, func.sum(shards.c.failed).label("failed"))
        .where(shards.c.state == ShardState.LEASED)
        .group_by(shards.c.job_id)
        .subquery("leased")
    )
    failed = jobs.c.failed + func.coalesce(leased.c.failed, 0) - jobs.c.forgiven
    over_rate = and_(jobs.c.canary_items > 0, failed > jobs.c.max_failure_rate * jobs.c.total)
    query = (
        select(jobs.c.id)
        .outerjoin(leased, leased.c.job_id == jobs.c.id)
        .where(jobs.c.state.in_(RUNNABLE_STATES), or_(failed > jobs.c.max_failures, over_rate))
    )
    return sum(judge_failures(db, JobId(job_id)) for job_id in db.execute(query).scalars().all())


def judge_canary(db: Connection, job: Row[Any], seen: int, failed: int) -> bool:
    """Stop a job whose canary lost more than chance explains; say whether it was stopped."""
    if not is_beyond_chance(failed, seen, job.max_failure_rate):
        return False
    words = f"{failed:,} of the first {seen:,} items failed, {job.max_failure_rate:.1%} may"
    return stop_for_attention(db, JobId(job.id), CANARY_FAILED, words)


def stop_for_attention(db: Connection, job_id: JobId, code: str, words: str) -> bool:
    """Stop a job and say what failed most and how to go on."""
    message = f"{words}{_most(failures(db, job_id))}; {_HOW_TO_GO_ON}"
    return stop(db, job_id, JobState.NEEDS_ATTENTION, code, message)


def _most(groups: Sequence[FailureGroup]) -> str:
    if not groups:
        return ""
    first = groups[0]
    return f", most of them {first.code} ({first.count:,}), such as {first.examples[0]}: {first.message}"
