"""The shards that one thread works on: mostly one, of small ones as many as make a moment's work.

Their items take turns with those of all others, each shard keeps its own lease and fence, and what is written last of
each goes in one transaction: a transaction costs as much as a light image.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobstore.errors import LeaseLost
from jobstore.schema import JobId, Lease
from workers.shard_run import FLUSH_S, ShardRun

if TYPE_CHECKING:
    from workers.shards import Runtime

logger = logging.getLogger(__name__)


class SessionBroken(Exception):
    """The model's session fails whatever it is given; nothing is lost by it, and no item is blamed for it.

    Attributes:
        leases: what is still ours to give back; all outcomes so far are written.
        ended_jobs: those that ended all the same.
    """

    def __init__(self, leases: Sequence[Lease], ended_jobs: Sequence[JobId]) -> None:
        super().__init__(f"{len(leases)} shards are not done")
        self.leases, self.ended_jobs = tuple(leases), tuple(ended_jobs)


def label_together(runtime: Runtime, runs: Sequence[ShardRun], wake: threading.Event) -> tuple[JobId, ...]:
    """Label every item, or as many as a drain or a pause allows; give the jobs that ended by it.

    Args:
        wake: what the runs set when there is something to write, or when one of them is over.

    Raises:
        SessionBroken: some are not done, because their model broke.
        StoreUnavailable: nothing more was written; the leases say who goes on. Nothing is left in flight.
    """
    lost: list[ShardRun] = []
    try:
        with runtime.turns.joined_by(*runs):
            while under_way := [run for run in runs if not run.is_over]:
                wake.wait(FLUSH_S)
                wake.clear()
                lost += [run for run in under_way if run not in lost and not _write(run, is_due=True)]
        lost += [run for run in runs if run not in lost and run.is_lost]
        ours = [run for run in runs if run not in lost]
        parts = [run for run in ours if not run.is_whole]
        ended, late = _end(runtime, [run for run in ours if run.is_whole])
        lost += late
        lost += [run for run in parts if not _write(run, is_due=False)]
    finally:
        for run in runs:
            run.let_go()
    for run in lost:
        runtime.meter.retried("lease_lost")
        logger.info("shard %s is not ours any more", run.lease.shard_id, extra={"event": "lease_lost"})
    _give_back(runtime, [run for run in parts if run not in lost], ended)
    return tuple(ended)


def _write(run: ShardRun, *, is_due: bool) -> bool:
    """Write what is there, or only what is due; False: the shard is not ours any more, and its rest is dropped."""
    try:
        run.flush_if_due() if is_due else run.flush()
    except LeaseLost:
        run.drop()
        return False
    return True


def _end(runtime: Runtime, runs: Sequence[ShardRun]) -> tuple[list[JobId], list[ShardRun]]:
    """Write the last outcomes; give the jobs that ended by it, and the runs whose shard is not ours any more."""
    if not runs:
        return [], []
    ends, started = [run.take_outcomes() for run in runs], time.monotonic()
    answers = runtime.store.record_all(ends, lease_s=runtime.lease_s)
    runs[0].loaded.tally.add_store((time.monotonic() - started) * 1000)
    for run, end, answer in zip(runs, ends, answers, strict=True):
        if not isinstance(answer, LeaseLost):
            run.count_written(end)
    lost = [run for run, answer in zip(runs, answers, strict=True) if isinstance(answer, LeaseLost)]
    return [run.lease.job_id for run, answer in zip(runs, answers, strict=True) if answer is True], lost


def _give_back(runtime: Runtime, parts: Sequence[ShardRun], ended: Sequence[JobId]) -> None:
    if parts and parts[0].loaded.is_broken:
        raise SessionBroken([run.lease for run in parts], ended)
    for run in parts:
        runtime.store.release_shard(run.lease)
        runtime.meter.retried("released")
