"""One shard on its way through a process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from inference_engine.decoding import decode_image
from inference_engine.errors import SessionFailed
from inference_engine.images import Fit, Image
from inference_engine.tasks import write_prediction
from jobstore.errors import LeaseLost
from jobstore.schema import DecisionId, ItemError, Outcome, OutcomeState
from videos.reading import Frame
from workers.flights import Flight
from workers.leases import HeldLease
from workers.metrics import labels_of
from workers.opening import LoadedModel
from workers.outcomes import ITEM_TIMEOUT, ended, failed, is_retryable, item_error
from workers.video_run import VideoRun

if TYPE_CHECKING:
    from workers.shards import Runtime

#: A flush leaves when so many outcomes wait, or when the oldest has waited so long.
FLUSH_ITEMS, FLUSH_S = 64, 0.5


class SessionBroken(Exception):
    """The model's session fails whatever it is given; nothing is lost by it, and no item is blamed for it."""


class ShardRun:
    """Takes a shard's items to their outcomes.

    Runners on the decoders' threads take its items one by one; whoever has an item's outputs turns them into its
    outcome; the shard's own thread only writes. On a CPU one thread carries an item from its bytes to its outcome,
    because each hand-over costs a wait for the interpreter's lock; with a batcher of several images the batcher's
    future comes back on the finishers' threads.

    A shard over which workers died is taken with care: one item after the other, none in a batch with others, each
    outcome written at once, so that the next death leaves no doubt about the item.
    """

    def __init__(
        self, runtime: Runtime, held: HeldLease, loaded: LoadedModel, params: Any, decision_id: DecisionId
    ) -> None:
        self._runtime, self._held, self._loaded = runtime, held, loaded
        self._params, self._decision_id = params, decision_id
        self._waiting = deque(map(Flight, held.lease.items))
        self._is_suspect = held.lease.deaths > 0
        self._flush_items = 1 if self._is_suspect else FLUSH_ITEMS
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._open = 0  # runners at work, and images on their way
        self._flights: set[Flight] = set()
        self._outcomes: list[Outcome] = []
        self._last_flush = time.monotonic()
        self.written = 0  # outcomes that are committed

    def label(self) -> bool:
        """Label every item, or as many as a drain or a pause allows; say whether the job ended by it.

        Raises:
            LeaseLost: the shard is not ours any more; nothing is left in flight.
            SessionBroken: the outcomes so far are written, the rest is still ours to give back.
        """
        self._start_runners(1 if self._is_suspect else self._runtime.runners)
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
            if self._loaded.is_broken:
                raise SessionBroken
            self._runtime.store.release_shard(self._held.lease)
            self._runtime.meter.retried("released")
        return job_ended

    @property
    def flights(self) -> tuple[Flight, ...]:
        """Items on their way at this moment."""
        with self._lock:
            return tuple(self._flights)

    @property
    def loaded(self) -> LoadedModel:
        """The model that it uses."""
        return self._loaded

    def abandon(self, timed_out: Collection[Flight], suspects: Collection[Flight]) -> None:
        """Write what is there and give the shard back: the process is about to end.

        Args:
            timed_out: items, of this shard or of others, that are known to hang.
            suspects: items of which one hangs; a shard that has one of them counts a death.

        Raises:
            LeaseLost, StoreUnavailable: the lease says who goes on.
        """
        with self._lock:
            guilty = self._flights.intersection(timed_out)
            is_suspect = not self._flights.isdisjoint(suspects)
            self._outcomes += [failed(flight, _timeout(flight)) for flight in guilty]
        self._flush(finished=False)
        if is_suspect:
            self._runtime.store.count_death(self._held.lease, self._runtime.max_deaths)
        else:
            self._runtime.store.release_shard(self._held.lease)

    def _start_runners(self, most: int) -> None:
        runners = min(most, len(self._waiting))
        with self._lock:
            self._open += runners
        for _ in range(runners):
            self._runtime.decoders.submit(copy_context().run, self._run)

    def _run(self) -> None:
        """On a decoder's thread: item after item, until there is none left or the shard should stop."""
        while (flight := self._next()) is not None:
            if flight.item.clip is not None:
                self._stream(flight)
                continue
            self._runtime.in_flight.acquire()
            self._track(flight)
            self._begin(flight)
        self._close_one()

    def _track(self, flight: Flight) -> None:
        with self._lock:
            self._open += 1
            self._flights.add(flight)

    def _stream(self, flight: Flight) -> None:
        """A video: frame after frame, each with a permit and a flight of its own, as a picture has."""
        self._track(flight)
        video = VideoRun(flight, self._held.lease.video)
        try:
            with video.opened(self._runtime.media, self._runtime.limits) as frames:
                while not self._should_stop() and not video.is_put_back:
                    if (frame := self._next_frame(flight, frames)) is None:
                        video.end()
                        break
                    one = video.begin(frame)
                    self._track(one)
                    self._begin(one, frame.image)
        except Exception as error:  # noqa: BLE001 (as in _begin)
            video.fail(error, may_repeat=is_retryable(error) and flight.tries < self._runtime.item_attempts)
        self._close_video(video)

    def _next_frame(self, flight: Flight, frames: Iterator[Frame]) -> Frame | None:
        """With a permit, which a frame keeps until its outcome."""
        self._runtime.in_flight.acquire()
        frame = None
        try:
            frame = flight.timed("decode", next, frames, None)
        finally:
            if frame is None:
                self._runtime.in_flight.release()
        return frame

    def _close_video(self, video: VideoRun) -> None:
        """The stream or a frame of it is over; after the last of them the video has its outcome, or waits again."""
        if not video.close_one():
            return
        outcome = video.outcome()
        with self._lock:
            self._flights.discard(video.flight)
            if outcome is None:
                self._waiting.append(video.again())
            else:
                self._outcomes.append(outcome)
        if outcome is None and not self._should_stop():
            self._start_runners(1)
        self._close_one()

    def _next(self) -> Flight | None:
        if self._should_stop():
            return None
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _should_stop(self) -> bool:
        held = self._held
        is_over = self._runtime.draining.is_set() or held.stop.is_set() or held.lost.is_set()
        return is_over or self._loaded.is_broken

    def _read(self, flight: Flight) -> Image:
        data = flight.timed("fetch", self._runtime.media.read, flight.item.uri)
        return flight.timed("decode", decode_image, data, self._runtime.limits)

    def _begin(self, flight: Flight, image: Image | None = None) -> None:
        """Pixels, which a frame brings along, tensors, and into the batcher."""
        try:
            pixels = self._read(flight) if image is None else image
            tensors, fit = flight.timed("preprocess", self._loaded.model.preprocess, pixels)
            started = time.monotonic()
            future = self._loaded.batcher.submit(tensors, flight, alone=self._is_suspect)
        except Exception as error:  # noqa: BLE001 (the one place that turns what one item raises into its outcome)
            self._fail(flight, error)
            return
        if future.done():
            self._finish(flight, fit, future, started)
        else:
            context = copy_context()  # what its log lines belong to
            future.add_done_callback(
                lambda done: self._runtime.finishers.submit(context.run, self._finish, flight, fit, done, started)
            )

    def _finish(self, flight: Flight, fit: Fit, outputs: Future[dict[str, Any]], started: float) -> None:
        flight.timings_ms["forward"] = (time.monotonic() - started) * 1000
        try:
            prediction = flight.timed("postprocess", self._predict, fit, outputs)
            record, blob = write_prediction(prediction)
        except Exception as error:  # noqa: BLE001 (as in _begin)
            self._fail(flight, error)
            return
        self._end(flight, ended(flight, OutcomeState.OK, record=record, blob=blob))

    def _predict(self, fit: Fit, outputs: Future[dict[str, Any]]) -> Any:
        prediction = self._loaded.model.postprocess(outputs.result(), [fit], self._params)[0]
        if isinstance(prediction, Exception):
            raise prediction
        return prediction

    def _fail(self, flight: Flight, error: Exception) -> None:
        """Try again what may work then; blame no item for a session that is broken."""
        if isinstance(error, SessionFailed) and self._loaded.check_session():
            self._put_back(flight, flight)
        elif is_retryable(error) and flight.tries < self._runtime.item_attempts:
            self._put_back(flight, flight.again())
            if flight.video is None:
                self._start_runners(1)
        else:
            self._end(flight, failed(flight, item_error(error)))
            return
        self._close_one()

    def _put_back(self, flight: Flight, later: Flight) -> None:
        """Behind the others: what failed for a moment's reason has a moment."""
        self._runtime.in_flight.release()
        with self._lock:
            self._flights.discard(flight)
            if flight.video is None:
                self._waiting.append(later)
        if flight.video is not None:
            flight.video.put_back(may_count=later is not flight)
            self._close_video(flight.video)

    def _end(self, flight: Flight, outcome: Outcome) -> None:
        """An item has its outcome. The writer is woken for a whole flush, not for each item."""
        self._runtime.in_flight.release()
        self._loaded.tally.add(flight.timings_ms)
        with self._lock:
            self._flights.discard(flight)
            self._outcomes.append(outcome)
            is_flush = len(self._outcomes) == self._flush_items
        if is_flush:
            self._wake.set()
        if flight.video is not None:
            flight.video.add(outcome)
            self._close_video(flight.video)
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
        if self._open and (len(self._outcomes) >= self._flush_items or (self._outcomes and waited > FLUSH_S)):
            self._flush(finished=False)

    def _flush(self, *, finished: bool) -> bool:
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
        started = self._last_flush = time.monotonic()
        if not outcomes and not finished:
            return False
        job_ended = self._runtime.store.record(
            self._held.lease,
            outcomes,
            decision_id=self._decision_id,
            lease_s=self._runtime.lease_s,
            finished=finished,
        )
        self._loaded.tally.add_store((time.monotonic() - started) * 1000)
        self._runtime.written.add(len(outcomes))
        self._runtime.meter.recorded(labels_of(self._loaded.model), outcomes)
        self.written += len(outcomes)
        return job_ended

    def _let_go(self) -> None:
        """Whatever happened, no image of this shard stays on its way."""
        self._held.lost.set()
        while self._open:
            self._wake.wait(FLUSH_S)
            self._wake.clear()


def _timeout(flight: Flight) -> ItemError:
    where = flight.stage or "the model's forward"
    return ItemError(ITEM_TIMEOUT, f"{flight.item.uri}: {where} took longer than its limit; its process was replaced")
