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

from inference_engine.decoding import decode_image
from inference_engine.errors import EngineError, ImageUnreadable, NoRunnableBackend, SessionFailed
from inference_engine.images import Image
from inference_engine.sniff import ImageLimits
from jobstore.errors import LeaseLost
from jobstore.schema import Hint, JobId, Lease, WorkerId
from jobstore.store import JobStore
from videos.errors import VideoUnreadable
from workers.decisions import DecisionBook
from workers.flights import RunBook
from workers.leases import HeldLease, LeaseBook
from workers.leaving import Exit, leave
from workers.logs import bound
from workers.media import MediaError, MediaReader
from workers.metrics import Meter
from workers.models import ModelPool
from workers.opening import LoadedModel
from workers.shard_run import SessionBroken, ShardRun
from workers.speeds import Speedometer
from workers.turns import Turns
from workers.video_run import check_wanted, first_frame

logger = logging.getLogger(__name__)

#: Pictures of a job that candidates are measured with.
SAMPLES = 8


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


def process_shard(runtime: Runtime, hint: Hint) -> JobId | None:
    """Lease, label, record. Gives the job that ended by it, if one did; a late or doubled hint does nothing."""
    lease = runtime.store.lease_shard(hint.shard_id, hint.attempt, runtime.worker_id, runtime.lease_s)
    if lease is None:
        return None
    told = {"job_id": lease.job_id, "shard_id": lease.shard_id, "attempt": lease.attempt, "model": lease.model}
    with bound(**told), runtime.leases.holding(lease) as held:
        try:
            loan = runtime.models.borrow(lease.model, lease.wishes, lambda: sample_images(runtime, lease))
        except EngineError as error:
            runtime.meter.model_refused(lease.model)
            return _not_opened(runtime, lease, error)
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
            return _fail_job(runtime, lease, error)
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
