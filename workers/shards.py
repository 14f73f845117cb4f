"""A worker's whole route: lease a shard, read, infer, record. Nothing here knows Celery."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from inference_engine.errors import EngineError
from inference_engine.sniff import ImageLimits
from jobstore.schema import Hint, JobId, Lease, WorkerId
from jobstore.store import JobStore
from jobstore.submit import DEFAULT_SHARD_SIZE
from workers.bundle import SessionBroken, label_together
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
from workers.results import ResultBook
from workers.shard_run import ShardRun
from workers.speeds import Speedometer
from workers.turns import Turns
from workers.video_run import check_wanted

logger = logging.getLogger(__name__)

#: Seconds of work, as measured in this process, up to which small shards are taken together. Below it the dispatch of
#: each costs more than its images; above it others would wait for what an idle worker could do.
BUNDLE_S = 0.5


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
        results: what earlier runs have made; None: every item is run.
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
    results: ResultBook | None = None
    exit: Callable[[int], None] = os._exit


def process_shard(runtime: Runtime, hint: Hint) -> tuple[JobId, ...]:
    """Lease, label, record. Gives the jobs that ended by it; a late or doubled hint does nothing."""
    first = runtime.store.lease_shard(hint.shard_id, hint.attempt, runtime.worker_id, runtime.lease_s)
    if first is None:
        return ()
    told = {"job_id": first.job_id, "shard_id": first.shard_id, "attempt": first.attempt, "model": first.model}
    with bound(**told), contextlib.ExitStack() as until_the_end:
        held = [until_the_end.enter_context(runtime.leases.holding(first))]
        use = FirstUse(runtime, first)
        try:
            with runtime.runs.opening(use):
                loan = runtime.models.borrow(first.model, first.wishes, use)
        except EngineError as error:
            runtime.meter.model_refused(first.model)
            ended = use.failed(error)
            return () if ended is None else (ended,)
        try:
            # Not before the model is open: nobody else's work is to wait for it.
            held += [until_the_end.enter_context(runtime.leases.holding(lease)) for lease in _beside(runtime, first)]
            return _label(runtime, held, loan.loaded)
        except SessionBroken as broken:
            _recover(runtime, broken.leases, runtime.models.discard(loan))
            return broken.ended_jobs
        finally:
            runtime.models.give_back(loan)


def _beside(runtime: Runtime, first: Lease) -> list[Lease]:
    """Take other small shards along, where one alone would be over in a moment."""
    room = min(runtime.speeds.items_within(first.queue, BUNDLE_S), DEFAULT_SHARD_SIZE) - len(first.items)
    if room <= 0 or first.deaths or any(item.clip for item in first.items):
        return []
    return runtime.store.lease_beside(first, room, runtime.lease_s)


def _label(runtime: Runtime, held: Sequence[HeldLease], loaded: LoadedModel) -> tuple[JobId, ...]:
    """Run the shards; give the jobs that ended by it."""
    wake, runs, ended = threading.Event(), [], []
    decisions = runtime.decisions.decisions_for([one.lease for one in held], loaded)
    for one, decision_id in zip(held, decisions, strict=True):
        try:
            params = loaded.model.check_params(one.lease.params)
            check_wanted(one.lease.video, loaded)
        except EngineError as error:
            ended.append(fail_job(runtime, one.lease, error))
        else:
            runs.append(ShardRun(runtime, one, loaded, params, decision_id, wake))
    runtime.runs.add(*runs)
    try:
        with measured(runtime, held[0].lease.queue, runs):
            return (*ended, *label_together(runtime, runs, wake))
    finally:
        runtime.runs.remove(*runs)


@contextlib.contextmanager
def measured(runtime: Runtime, queue: str, runs: Sequence[ShardRun]) -> Iterator[None]:
    """Report how long an item of the queue takes, when shards end well."""
    runtime.speeds.begin(queue, time.monotonic())
    try:
        yield
    finally:
        speed = runtime.speeds.end(queue, sum(run.written for run in runs), time.monotonic())
    if speed is not None:
        runtime.store.fleet.report_speed(queue, speed)


def _recover(runtime: Runtime, leases: Sequence[Lease], breaks: int) -> None:
    """After a session broke: the next shard opens it anew; when that broke too, the process is at fault, or a shard.

    A device that an illegal access has spoilt serves no further session of the process. The second time a death is
    counted, so that an image which spoils the device is found by splitting, as one that kills the process is.
    """
    for lease in leases:
        if breaks <= 1:
            runtime.store.release_shard(lease)
        else:
            runtime.store.count_death(lease, runtime.max_deaths)
    if breaks > 1:
        leave(runtime, Exit.BROKEN)
