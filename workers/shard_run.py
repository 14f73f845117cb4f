"""One shard on its way through a process."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from inference_engine.errors import SessionFailed
from inference_engine.images import Fit
from inference_engine.tasks import write_prediction
from jobstore.result_cache import KnownResult
from jobstore.schema import DecisionId, Lease, Outcome, OutcomeState, ShardEnd
from workers.flights import Flight
from workers.leases import HeldLease
from workers.lookups import Lookups, key_to_keep
from workers.metrics import labels_of
from workers.opening import LoadedModel
from workers.outcomes import ended, failed, is_retryable, item_error, timeout
from workers.pictures import pixels_of, read_bytes
from workers.video_run import VideoRun

if TYPE_CHECKING:
    from workers.shards import Runtime

#: A flush leaves when so many outcomes wait, or when the oldest has waited so long: a transaction costs as much as a
#: light image, and what a worker that dies had not written is run again.
FLUSH_ITEMS, FLUSH_S = 64, 1.0


class ShardRun:
    """Takes a shard's items to their outcomes.

    The decoders' threads take its items one by one, in turn with those of other shards (`workers.turns`); whoever has
    an item's outputs turns them into its outcome; the shard's own thread only writes. On a CPU one thread carries an
    item from its bytes to its outcome, because each hand-over costs a wait for the interpreter's lock; with a batcher
    of several images the batcher's future comes back on the finishers' threads. `workers.bundle` waits for it, and for
    those beside it.

    A shard over which workers died is taken with care: one item after the other, none in a batch with others, each
    outcome written at once, so that the next death leaves no doubt about the item.
    """

    def __init__(
        self,
        runtime: Runtime,
        held: HeldLease,
        loaded: LoadedModel,
        params: Any,
        decision_id: DecisionId | None,
        wake: threading.Event,
    ) -> None:
        self._runtime, self._held, self._loaded, self._wake = runtime, held, loaded, wake
        self._params, self._decision_id = params, decision_id
        self._waiting = deque(map(Flight, held.lease.items))
        self._is_suspect = held.lease.deaths > 0
        self._flush_items = 1 if self._is_suspect else FLUSH_ITEMS
        self._lock = threading.Lock()
        results = runtime.results if held.lease.use_cache and not self._is_suspect else None
        self._lookups = Lookups(results, held.lease, loaded)
        self._open = 0  # images on their way
        self._context = copy_context()  # what its log lines belong to
        self._flights: set[Flight] = set()
        self._outcomes: list[Outcome] = []
        self._last_flush = time.monotonic()
        self.written = 0  # outcomes that are committed

    @property
    def lease(self) -> Lease:
        """What it works for."""
        return self._held.lease

    @property
    def is_lost(self) -> bool:
        """The shard is somebody else's, or its job ended; nothing of it can be written."""
        return self._held.lost.is_set()

    @property
    def is_over(self) -> bool:
        """Nothing is on its way, and nothing more will be."""
        with self._lock:
            return not self._open and (not self._has_more or self._should_stop())

    @property
    def is_whole(self) -> bool:
        """Once it is over: every item has its outcome."""
        return not self._has_more

    @property
    def _has_more(self) -> bool:
        return bool(self._waiting or self._lookups.waiting)

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
            self._outcomes += [failed(flight, timeout(flight)) for flight in guilty]
        self.flush()
        if is_suspect:
            self._runtime.store.count_death(self._held.lease, self._runtime.max_deaths)
        else:
            self._runtime.store.release_shard(self._held.lease)

    @property
    def owner_keys(self) -> tuple[str, str]:
        """The tenant and the job, by which shards take turns."""
        return self._held.lease.tenant, self._held.lease.job_id

    def begin_one(self) -> Callable[[], None] | None:
        """Take the next item for a decoder; the caller holds the permit that its outcome gives back."""
        with self._lock:
            if not self._has_more or self._should_stop() or (self._is_suspect and self._open):
                return None
            self._open += 1
            if due := self._lookups.take_due(are_all_read=not self._waiting):
                return partial(self._context.copy().run, self._look_up, due)
            flight = self._waiting.popleft()
            self._flights.add(flight)
        work = self._begin if flight.item.clip is None else self._advance
        return partial(self._context.copy().run, work, flight)

    def _look_up(self, asked: list[Flight]) -> None:
        """With a permit: take over what earlier runs have made; the others wait in front, with their bytes."""
        found = self._lookups.find(asked)
        self._runtime.turns.permits.release()
        for flight in asked:
            if (known := found.get(flight.key or "")) is not None:
                self._take_over(flight, known)
        with self._lock:
            self._waiting.extendleft(flight for flight in reversed(asked) if flight.key not in found)
        self._close_one()
        self._runtime.turns.wake()

    def _take_over(self, flight: Flight, known: KnownResult) -> None:
        flight.data = None
        self._write([ended(flight, OutcomeState.CACHED, record=known.record, blob=known.blob)])

    def _told(self, flight: Flight, known: KnownResult | None) -> None:
        """Whoever ran the same bytes has made the result; or he failed, and this one is run, too."""
        if known is not None:
            self._take_over(flight, known)
        else:
            with self._lock:
                self._waiting.appendleft(flight)
        self._close_one()
        self._runtime.turns.wake()

    def _advance(self, begun: Flight) -> None:
        """With a permit: a video's next frame, which keeps the permit until its outcome, or the video's end.

        Between two frames the video waits in front of the other items and holds no permit, so that frames take turns
        as pictures do, and one is decoded while the model has another.
        """
        video = begun.video = begun.video or self._video_of(begun)
        frame = None
        try:
            frame = video.take(self._runtime.media, self._runtime.limits)
        except Exception as error:  # noqa: BLE001 (as in _run)
            video.fail(error, may_repeat=is_retryable(error) and begun.tries < self._runtime.item_attempts)
        with self._lock:
            self._flights.discard(begun)
            if frame is not None:
                self._flights.add(frame)
                self._waiting.appendleft(begun)
        if frame is not None:
            self._runtime.turns.wake()
            self._begin(frame)
            return
        self._runtime.turns.permits.release()
        video.close()
        self._close_video(video)
        self._close_one()

    def _video_of(self, flight: Flight) -> VideoRun:
        lease = self._held.lease
        written = partial(self._runtime.store.frames, lease.job_id, flight.item.idx)
        return VideoRun(flight, lease.video, self._loaded, written)

    def _close_video(self, video: VideoRun) -> None:
        """The stream or a frame of it is over; after the last of them the video has its outcome, or waits again."""
        if not video.close_one():
            return
        outcome = video.outcome()
        with self._lock:
            if outcome is None:
                self._waiting.append(video.again())
            else:
                self._outcomes.append(outcome)
        if outcome is None:
            self._runtime.turns.wake()

    def _should_stop(self) -> bool:
        held = self._held
        is_over = self._runtime.draining.is_set() or held.stop.is_set() or held.lost.is_set()
        return is_over or self._loaded.is_broken

    def _begin(self, flight: Flight) -> None:
        """Bytes, which are looked up together with those of others, and then run where nothing is known of them."""
        if flight.image is None and flight.data is None:
            try:
                flight.timed("fetch", read_bytes, flight, self._runtime.media)
            except Exception as error:  # noqa: BLE001 (as in _run)
                self._fail(flight, error)
                return
            if self._lookups.takes(flight):
                self._wait_for_lookup(flight)
                return
        self._run(flight)

    def _wait_for_lookup(self, flight: Flight) -> None:
        self._runtime.turns.permits.release()
        with self._lock:
            self._flights.discard(flight)
            self._lookups.waiting.append(flight)
        self._close_one()

    def _claim(self, flight: Flight) -> bool:
        """Whether it is to be run; else it may be in other hands, told of its result, before this returns."""
        with self._lock:
            self._flights.discard(flight)
        if not self._lookups.claim(flight, self._told):
            self._runtime.turns.permits.release()
            return False
        with self._lock:
            self._flights.add(flight)
        return True

    def _run(self, flight: Flight) -> None:
        """Pixels, tensors, and into the batcher; unless the same bytes are on their way to their result."""
        if flight.key is not None and not self._claim(flight):
            return
        try:
            pixels = pixels_of(flight, self._runtime.limits)
            tensors, fit = flight.timed("preprocess", self._loaded.model.preprocess, pixels, self._params)
            started = time.monotonic()
            future = self._loaded.batcher.submit(tensors, flight, alone=self._is_suspect)
        except Exception as error:  # noqa: BLE001 (the one place that turns what one item raises into its outcome)
            self._fail(flight, error)
            return
        if future.done():
            self._finish(flight, fit, future, started)
        else:
            context = self._context.copy()
            future.add_done_callback(
                lambda done: self._runtime.finishers.submit(context.run, self._finish, flight, fit, done, started)
            )

    def _finish(self, flight: Flight, fit: Fit, outputs: Future[dict[str, Any]], started: float) -> None:
        flight.timings_ms["forward"] = (time.monotonic() - started) * 1000
        try:
            with self._loaded.model.turn:  # outside of the stage: who waits for his turn does not hang
                prediction = flight.timed("postprocess", self._predict, fit, outputs)
            record, blob = write_prediction(prediction)
        except Exception as error:  # noqa: BLE001 (as in _run)
            self._fail(flight, error)
            return
        key = key_to_keep(flight, record)
        self._end(flight, ended(flight, OutcomeState.OK, record=record, blob=blob, result_key=key))

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
        else:
            self._end(flight, failed(flight, item_error(error)))
            return
        self._close_one()
        self._runtime.turns.wake()

    def _put_back(self, flight: Flight, later: Flight) -> None:
        """Behind the others: what failed for a moment's reason has a moment."""
        self._lookups.settle(flight, None)
        self._runtime.turns.permits.release()
        with self._lock:
            self._flights.discard(flight)
            if flight.video is None:
                self._waiting.append(later)
        if flight.video is not None:
            flight.video.put_back(may_count=later is not flight)
            self._close_video(flight.video)

    def _end(self, flight: Flight, outcome: Outcome) -> None:
        """An item has its outcome. The writer is woken for a whole flush, not for each item."""
        self._lookups.settle(flight, outcome)
        self._runtime.turns.permits.release()
        self._loaded.tally.add(flight.timings_ms)
        with self._lock:
            self._flights.discard(flight)
        if flight.video is None:
            self._write([outcome])
        else:
            flight.video.add(outcome, self._write)
            self._close_video(flight.video)
        self._close_one()

    def _write(self, outcomes: list[Outcome]) -> None:
        with self._lock:
            had = len(self._outcomes)
            self._outcomes += outcomes
            is_flush = had < self._flush_items <= len(self._outcomes)
        if is_flush:
            self._wake.set()

    def _close_one(self) -> None:
        with self._lock:
            self._open -= 1
            is_last = self._open == 0 and (not self._has_more or self._should_stop())
        if is_last:
            self._wake.set()

    def flush_if_due(self) -> None:
        """Write what is there; the very last outcomes go with the shard's end, in one transaction.

        Raises:
            LeaseLost: see `flush`.
        """
        waited = time.monotonic() - self._last_flush
        is_due = len(self._outcomes) >= self._flush_items or (self._outcomes and waited > FLUSH_S)
        if is_due and not self.is_over:
            self.flush()

    def flush(self) -> None:
        """Write what is there.

        Raises:
            LeaseLost: the shard is somebody else's; nothing was written.
        """
        written, started = self.take_outcomes(), time.monotonic()
        if written.outcomes:
            self._runtime.store.record(
                self.lease,
                written.outcomes,
                decision_id=self._decision_id,
                lease_s=self._runtime.lease_s,
                finished=False,
            )
            self._loaded.tally.add_store((time.monotonic() - started) * 1000)
            self.count_written(written)

    def take_outcomes(self) -> ShardEnd:
        """Take out what is to be written."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
        self._last_flush = time.monotonic()
        return ShardEnd(self.lease, tuple(outcomes), self._decision_id)

    def count_written(self, written: ShardEnd) -> None:
        """They are committed."""
        self._runtime.written.add(len(written.outcomes))
        self._runtime.meter.recorded(labels_of(self._loaded.model), written.outcomes)
        self.written += len(written.outcomes)

    def drop(self) -> None:
        """The shard is somebody else's: begin nothing more of it."""
        self._held.lost.set()

    def let_go(self) -> None:
        """Whatever happened, no image of this shard stays on its way, and no video stays open."""
        self.drop()
        while not self.is_over:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
        for flight in self._waiting:
            if flight.video is not None:
                flight.video.close()
