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

from inference_engine.decoding import decode_image
from inference_engine.errors import EngineError, ImageUnreadable, NoRunnableBackend, SessionFailed
from inference_engine.images import Image
from inference_engine.sniff import ImageLimits
from jobstore.schema import Hint, JobId, Lease, WorkerId
from jobstore.store import JobStore
from jobstore.submit import DEFAULT_SHARD_SIZE
from videos.errors import VideoUnreadable
from workers.bundle import SessionBroken, label_together
from workers.decisions import DecisionBook
from workers.flights import RunBook
from workers.leases import HeldLease, LeaseBook
from workers.leaving import Exit, leave
from workers.logs import bound
from workers.media import MediaError, MediaReader
from workers.metrics import Meter
from workers.models import ModelPool
from workers.opening import LoadedModel
from workers.shard_run import ShardRun
from workers.speeds import Speedometer
from workers.turns import Turns
from workers.video_run import first_frame

logger = logging.getLogger(__name__)

#: Pictures of a job that candidates are measured with.
SAMPLES = 8
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
        max_deaths: lost workers after which a shard is split.
        draining: set when the process should give back what it has not begun.
        written: outcomes that this process has committed.
        meter: counts for Prometheus.
        speeds: how long an item of each queue takes here.
        runs: shards that it works on.
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
    draining: threading.Event = field(default_factory=threading.Event)
    written: Counter = field(default_factory=Counter)
    meter: Meter = field(default_factory=Meter)
    speeds: Speedometer = field(default_factory=Speedometer)
    runs: RunBook = field(default_factory=RunBook)
    exit: Callable[[int], None] = os._exit


def process_shard(runtime: Runtime, hint: Hint) -> tuple[JobId, ...]:
    """Lease, label, record. Gives the jobs that ended by it; a late or doubled hint does nothing."""
    first = runtime.store.lease_shard(hint.shard_id, hint.attempt, runtime.worker_id, runtime.lease_s)
    if first is None:
        return ()
    told = {"job_id": first.job_id, "shard_id": first.shard_id, "attempt": first.attempt, "model": first.model}
    with bound(**told), contextlib.ExitStack() as until_the_end:
        held = [until_the_end.enter_context(runtime.leases.holding(first))]
        held += [until_the_end.enter_context(runtime.leases.holding(lease)) for lease in _beside(runtime, first)]
        try:
            loan = runtime.models.borrow(first.model, first.wishes, lambda: sample_images(runtime, first))
        except EngineError as error:
            runtime.meter.model_refused(first.model)
            ended = [_not_opened(runtime, one.lease, error) for one in held]
            return tuple(job_id for job_id in ended if job_id is not None)
        try:
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
        except EngineError as error:
            ended.append(_fail_job(runtime, one.lease, error))
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
        runtime.store.report_speed(queue, speed)


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


def sample_images(runtime: Runtime, lease: Lease) -> list[Image]:
    """The first readable pictures of a shard, to measure candidates with; an unreadable one has its outcome later."""
    images: list[Image] = []
    for item in lease.items:
        if len(images) == SAMPLES:
            break
        with contextlib.suppress(MediaError, ImageUnreadable, VideoUnreadable):
            if item.clip is None:
                images.append(decode_image(runtime.media.read(item.uri), runtime.limits))
            else:
                images.extend(first_frame(runtime.media, item.uri, runtime.limits))
    return images


def _not_opened(runtime: Runtime, lease: Lease, error: EngineError) -> JobId | None:
    """The model does not open here: other hardware may run it. Where no hardware can help, the job fails."""
    if not isinstance(error, NoRunnableBackend | SessionFailed):
        return _fail_job(runtime, lease, error)
    following = runtime.store.refuse_class(lease.job_id, lease.hardware, error.code, str(error))
    logger.error(
        "job %s does not run on %s: %s",
        lease.job_id,
        lease.hardware,
        error,
        extra={"event": "class_refused", "job_id": lease.job_id, "next": following},
    )
    if following is None:
        return lease.job_id
    runtime.store.release_shard(lease)
    return None


def _fail_job(runtime: Runtime, lease: Lease, error: EngineError) -> JobId:
    """The parameters are wrong, or there is no such model: no item of this job can ever succeed."""
    logger.error("job %s: %s", lease.job_id, error, extra={"event": "job_failed", "job_id": lease.job_id})
    runtime.store.fail_job(lease.job_id, error.code, str(error))
    return lease.job_id
