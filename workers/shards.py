"""A worker's whole route: lease a shard, read, infer, record. Nothing here knows Celery."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from inference_engine.errors import EngineError
from inference_engine.sniff import ImageLimits
from jobstore.errors import LeaseLost
from jobstore.schema import Hint, JobId, Lease, WorkerId
from jobstore.store import JobStore
from workers.decisions import DecisionBook
from workers.first_use import FirstUse, fail_job
from workers.flights import RunBook
from workers.leases import HeldLease, LeaseBook
from workers.leaving import Exit, leave
from workers.logs import bound
from workers.media import MediaReader
from workers.metrics import Meter
from workers.models import ModelPool
from workers.opening import LoadedModel
from workers.shard_run import SessionBroken, ShardRun
from workers.speeds import Speedometer
from workers.turns import Turns
from workers.video_run import check_wanted

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Counter:
    """A number that several threads count up."""

    value: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, amount: int) -> None:
        """Count up."""
        with self._lock:
            self.value += amount


@dataclass(frozen=True, slots=True)
class Runtime:
    """What one worker process owns; built once, tests build it with fakes.

    Attributes:
        turns: gives items to the threads that read, decode and preprocess, and without a batch to wait for also infer;
            holds one permit for each image between its reading and its outcome, which bounds memory.
        finishers: threads that turn a batch's outputs into outcomes.
        item_attempts: tries of an item that fails for a reason that may pass.
        max_deaths: lost workers after which a shard is split, or a class refused on which they were lost over a model.
        open_retry_s: seconds for which a model that is away is waited for.
        draining: set when the process should give back what it has not begun.
        written: outcomes that this process has committed.
        meter: counts for Prometheus.
        speeds: how long an item of each queue takes here.
        runs: shards that it works on, or opens a model for.
        exit: ends the process at once.
    """

    worker_id: WorkerId
    store: JobStore
    models: ModelPool
    media: MediaReader
    limits: ImageLimits
    leases: LeaseBook
    decisions: DecisionBook
    turns: Turns
    finishers: ThreadPoolExecutor
    lease_s: float
    item_attempts: int = 3
    max_deaths: int = 3
    open_retry_s: float = 3600.0
    draining: threading.Event = field(default_factory=threading.Event)
    written: Counter = field(default_factory=Counter)
    meter: Meter = field(default_factory=Meter)
    speeds: Speedometer = field(default_factory=Speedometer)
    runs: RunBook = field(default_factory=RunBook)
    exit: Callable[[int], None] = os._exit


def process_shard(runtime: Runtime, hint: Hint) -> JobId | None:
    """Lease, label, record. Gives the job that ended by it, if one did; a late or doubled hint does nothing."""
    lease = runtime.store.lease_shard(hint.shard_id, hint.attempt, runtime.worker_id, runtime.lease_s)
    if lease is None:
        return None
    told = {"job_id": lease.job_id, "shard_id": lease.shard_id, "attempt": lease.attempt, "model": lease.model}
    with bound(**told), runtime.leases.holding(lease) as held:
        use = FirstUse(runtime, lease)
        try:
            with runtime.runs.opening(use):
                loan = runtime.models.borrow(lease.model, lease.wishes, use)
        except EngineError as error:
            runtime.meter.model_refused(lease.model)
            return use.failed(error)
        try:
            return _label(runtime, held, loan.loaded)
        except LeaseLost:
            runtime.meter.retried("lease_lost")
            logger.info("shard %s is not ours any more", lease.shard_id, extra={"event": "lease_lost"})
            return None
        except SessionBroken:
            _recover(runtime, lease, runtime.models.discard(loan))
            return None
        except EngineError as error:
            return fail_job(runtime, lease, error)
        finally:
            runtime.models.give_back(loan)


def _label(runtime: Runtime, held: HeldLease, loaded: LoadedModel) -> JobId | None:
    """Run the shard; give its job, if that ended by it."""
    lease = held.lease
    params = loaded.model.check_params(lease.params)
    check_wanted(lease.video, loaded)
    run = ShardRun(runtime, held, loaded, params, runtime.decisions.decision_for(lease, loaded))
    runtime.runs.add(run)
    try:
        with measured(runtime, lease.queue, run):
            return lease.job_id if run.label() else None
    finally:
        runtime.runs.remove(run)


@contextlib.contextmanager
def measured(runtime: Runtime, queue: str, run: ShardRun) -> Iterator[None]:
    """Report how long an item of the queue takes, when a shard ends well."""
    runtime.speeds.begin(queue, time.monotonic())
    try:
        yield
    finally:
        speed = runtime.speeds.end(queue, run.written, time.monotonic())
    if speed is not None:
        runtime.store.report_speed(queue, speed)


def _recover(runtime: Runtime, lease: Lease, breaks: int) -> None:
    """After a session broke: the next shard opens it anew; when that broke too, the process is at fault, or the shard.

    A device that an illegal access has spoilt serves no further session of the process. The second time a death is
    counted, so that an image which spoils the device is found by splitting, as one that kills the process is.
    """
    if breaks <= 1:
        runtime.store.release_shard(lease)
        return
    runtime.store.count_death(lease, runtime.max_deaths)
    leave(runtime, Exit.BROKEN)
