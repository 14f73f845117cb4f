"""A worker's whole route: lease a shard, read, infer, record. Nothing here knows Celery."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from inference_engine.decoding import decode_image
from inference_engine.errors import EngineError, ImageUnreadable
from inference_engine.images import Fit, Image
from inference_engine.sniff import ImageLimits
from inference_engine.tasks import write_prediction
from jobstore.errors import LeaseLost
from jobstore.schema import DecisionId, Hint, Item, ItemError, JobId, Lease, Outcome, OutcomeState, WorkerId
from jobstore.store import JobStore
from workers.decisions import DecisionBook
from workers.leases import HeldLease, LeaseBook
from workers.media import MediaError, MediaReader
from workers.models import LoadedModel, ModelPool

logger = logging.getLogger(__name__)

#: A flush leaves when so many outcomes wait, or when the oldest has waited so long.
FLUSH_ITEMS, FLUSH_S = 64, 0.5
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
        decoders: threads that read, decode and preprocess, and without a batch to wait for also infer.
        finishers: threads that turn a batch's outputs into outcomes.
        runners: threads that a shard may use of the decoders.
        in_flight: one permit for each image between its reading and its outcome; bounds memory whatever shards hold.
        draining: set when the process should give back what it has not begun.
        written: outcomes that this process has committed.
    """

    worker_id: WorkerId
    store: JobStore
    models: ModelPool
    media: MediaReader
    limits: ImageLimits
    leases: LeaseBook
    decisions: DecisionBook
    decoders: ThreadPoolExecutor
    finishers: ThreadPoolExecutor
    runners: int
    in_flight: threading.Semaphore
    lease_s: float
    draining: threading.Event = field(default_factory=threading.Event)
    written: Counter = field(default_factory=Counter)


def process_shard(runtime: Runtime, hint: Hint) -> JobId | None:
    """Lease, label, record. Gives the job that ended by it, if one did; a late or doubled hint does nothing."""
    lease = runtime.store.lease_shard(hint.shard_id, hint.attempt, runtime.worker_id, runtime.lease_s)
    if lease is None:
        return None
    with runtime.leases.holding(lease) as held:
        try:
            key, loaded = runtime.models.borrow(lease.model, lease.wishes, lambda: sample_images(runtime, lease))
        except EngineError as error:
            return _fail_job(runtime, lease, error)
        try:
            params = loaded.model.check_params(lease.params)
            run = ShardRun(runtime, held, loaded, params, runtime.decisions.decision_for(lease, loaded))
            return lease.job_id if run.label() else None
        except LeaseLost:
            logger.info("shard %s is not ours any more", lease.shard_id, extra={"event": "lease_lost"})
            return None
        except EngineError as error:
            return _fail_job(runtime, lease, error)
        finally:
            runtime.models.give_back(key)


def sample_images(runtime: Runtime, lease: Lease) -> list[Image]:
    """The first readable pictures of a shard, to measure candidates with; an unreadable one has its outcome later."""
    images: list[Image] = []
    for item in lease.items:
        if len(images) == SAMPLES:
            break
        with contextlib.suppress(MediaError, ImageUnreadable):
            images.append(decode_image(runtime.media.read(item.uri), runtime.limits))
    return images


def _fail_job(runtime: Runtime, lease: Lease, error: EngineError) -> JobId:
    """The model cannot be opened, or the parameters are wrong: no item of this job can ever succeed here."""
    logger.error("job %s: %s", lease.job_id, error, extra={"event": "job_failed", "job_id": lease.job_id})
    runtime.store.fail_job(lease.job_id, error.code, str(error))
    return lease.job_id


class ShardRun:
    """One shard on its way.

    Runners on the decoders' threads take its items one by one; whoever has an item's outputs turns them into its
    outcome; the shard's own thread only writes. On a CPU one thread carries an item from its bytes to its outcome,
    because each hand-over costs a wait for the interpreter's lock; with a batcher of several images the batcher's
    future comes back on the finishers' threads.
    """

    def __init__(
        self, runtime: Runtime, held: HeldLease, loaded: LoadedModel, params: Any, decision_id: DecisionId
    ) -> None:
        self._runtime, self._held, self._loaded = runtime, held, loaded
        self._params, self._decision_id = params, decision_id
        self._waiting = deque(held.lease.items)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._open = 0  # runners at work, and images on their way
        self._outcomes: list[Outcome] = []
        self._last_flush = time.monotonic()

    def label(self) -> bool:
        """Label every item, or as many as a drain allows; say whether the job ended by it.

        Raises:
            LeaseLost: the shard is not ours any more; nothing is left in flight.
        """
        self._start_runners()
        try:
            while self._open:
                self._wake.wait(FLUSH_S)
                self._wake.clear()
                self._flush_if_due()
            if self._held.lost.is_set():
                raise LeaseLost(f"shard {self._held.lease.shard_id} was given to another worker, or its job ended")
            job_ended = self._flush(finished=not self._waiting)
        finally:
            self._let_go()
        if self._waiting:
            self._runtime.store.release_shard(self._held.lease)
        return job_ended

    def _start_runners(self) -> None:
        runners = min(self._runtime.runners, len(self._waiting))
        self._open = runners
        for _ in range(runners):
            self._runtime.decoders.submit(self._run)

    def _run(self) -> None:
        """On a decoder's thread: item after item, until there is none left or the shard should stop."""
        while (item := self._next()) is not None:
            self._runtime.in_flight.acquire()
            with self._lock:
                self._open += 1
            self._begin(item)
        self._close_one()

    def _next(self) -> Item | None:
        if self._runtime.draining.is_set() or self._held.lost.is_set():
            return None
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _begin(self, item: Item) -> None:
        """Bytes, pixels, tensors, and into the batcher."""
        timings: dict[str, float] = {}
        try:
            data = _timed(timings, "fetch", self._runtime.media.read, item.uri)
            image = _timed(timings, "decode", decode_image, data, self._runtime.limits)
            tensors, fit = _timed(timings, "preprocess", self._loaded.model.preprocess, image, self._params)
            started = time.perf_counter()
            future = self._loaded.batcher.submit(tensors)
        except Exception as error:  # noqa: BLE001 (the one place that turns what one item raises into its outcome)
            self._end(_failed(item, error, timings))
            return
        if future.done():
            self._finish(item, fit, future, timings, started)
        else:
            future.add_done_callback(
                lambda done: self._runtime.finishers.submit(self._finish, item, fit, done, timings, started)
            )

    def _finish(
        self, item: Item, fit: Fit, outputs: Future[dict[str, Any]], timings: dict[str, float], started: float
    ) -> None:
        timings["forward"] = (time.perf_counter() - started) * 1000
        try:
            prediction = _timed(timings, "postprocess", self._predict, fit, outputs)
            record, blob = write_prediction(prediction)
            self._end(Outcome(item.idx, OutcomeState.OK, record=record, blob=blob, timings_ms=_rounded(timings)))
        except Exception as error:  # noqa: BLE001 (as in _begin)
            self._end(_failed(item, error, timings))

    def _predict(self, fit: Fit, outputs: Future[dict[str, Any]]) -> Any:
        prediction = self._loaded.model.postprocess(outputs.result(), [fit], self._params)[0]
        if isinstance(prediction, Exception):
            raise prediction
        return prediction

    def _end(self, outcome: Outcome) -> None:
        """An item has its outcome. The writer is woken for a whole flush, not for each item."""
        self._runtime.in_flight.release()
        with self._lock:
            self._outcomes.append(outcome)
            is_flush = len(self._outcomes) == FLUSH_ITEMS
        if is_flush:
            self._wake.set()
        self._close_one()

    def _close_one(self) -> None:
        with self._lock:
            self._open -= 1
            is_last = self._open == 0
        if is_last:
            self._wake.set()

    def _flush_if_due(self) -> None:
        """Write what is there; the very last outcomes go with the shard's end, in one transaction."""
        waited = time.monotonic() - self._last_flush
        if self._open and (len(self._outcomes) >= FLUSH_ITEMS or (self._outcomes and waited > FLUSH_S)):
            self._flush(finished=False)

    def _flush(self, *, finished: bool) -> bool:
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
        self._last_flush = time.monotonic()
        if not outcomes and not finished:
            return False
        job_ended = self._runtime.store.record(
            self._held.lease,
            outcomes,
            decision_id=self._decision_id,
            lease_s=self._runtime.lease_s,
            finished=finished,
        )
        self._runtime.written.add(len(outcomes))
        return job_ended

    def _let_go(self) -> None:
        """Whatever happened, no image of this shard stays on its way."""
        self._held.lost.set()
        while self._open:
            self._wake.wait(FLUSH_S)
            self._wake.clear()


def _failed(item: Item, error: Exception, timings: Mapping[str, float]) -> Outcome:
    return Outcome(item.idx, OutcomeState.FAILED, error=item_error(error), timings_ms=_rounded(timings))


def item_error(error: Exception) -> ItemError:
    """A typed code and words; what is not ours is `internal_error`, with the class that was raised."""
    if isinstance(error, ImageUnreadable):
        return ItemError(error.reason, str(error))
    if isinstance(error, MediaError | EngineError):
        return ItemError(error.code, str(error))
    logger.error("an item raised %s", type(error).__name__, exc_info=error, extra={"event": "internal_error"})
    return ItemError("internal_error", f"{type(error).__name__}: {error}")


def _timed(timings: dict[str, float], stage: str, call: Any, *arguments: Any) -> Any:
    started = time.perf_counter()
    try:
        return call(*arguments)
    finally:
        timings[stage] = (time.perf_counter() - started) * 1000


def _rounded(timings: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 2) for stage, value in timings.items()}
