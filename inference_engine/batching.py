"""Join single images of many threads into the batches that a session likes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from inference_engine.batch_buffers import BatchBuffers
from inference_engine.errors import OutOfMemory, OutputInvalid, SessionFailed
from inference_engine.sessions import Array, Tensors


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How images are joined.

    Attributes:
        max_batch_size: a batch leaves when it has this many images,
        max_wait_s: or when its first image has waited this long.
        streams: batches under way at once.
    """

    max_batch_size: int = 1
    max_wait_s: float = 0.01
    streams: int = 1


@dataclass(frozen=True, slots=True)
class _Request:
    tensors: Tensors  # one image: (1, ...)
    owner: object
    done: Future[dict[str, Array]] = field(default_factory=Future)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A batch that the session works on at this moment.

    Attributes:
        started: when the session got it, by `time.monotonic`.
        owners: what the submitters passed as `owner`, an entry for each image.
    """

    started: float
    owners: tuple[object, ...]


class MicroBatcher:
    """The streams' threads own the session; every other thread hands over single images.

    With a batch size of one there is nobody to wait for: the thread that submits runs the session itself, `streams` of
    them at once, which saves two changes of thread an image.

    A batch that raises is halved until the guilty image stands alone, so that it costs nobody else. One that does not
    fit into memory is halved as well, and `max_batch_size` stays at what fitted.

    Attributes:
        policy: what it was started with; `max_batch_size` is what fits by now.
        batches, images, seconds: of all runs that succeeded.
    """

    def __init__(self, forward: Callable[[Tensors], dict[str, Array]], policy: BatchPolicy) -> None:
        self._forward, self.policy = forward, policy
        # Not SimpleQueue: where several threads get with a timeout, one of them was seen to sleep far past its deadline
        # (CPython 3.11.7, one of ten rounds of the test that guards it), and the images that it had gathered with it.
        self._requests: queue.Queue[_Request | None] = queue.Queue()
        self.max_batch_size = policy.max_batch_size
        self.batches = 0
        self.images = 0
        self.seconds = 0.0
        self._under_way: set[Run] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        self._permits = threading.Semaphore(policy.streams)
        streams = 0 if policy.max_batch_size == 1 else policy.streams
        self._threads = [
            threading.Thread(target=self._stream, name=f"forward-{index}", daemon=True) for index in range(streams)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, tensors: Tensors, owner: object = None, *, alone: bool = False) -> Future[dict[str, Array]]:
        """Hand over one image's tensors `(1, ...)`; the future gives its outputs `(1, ...)` or what it raised.

        Args:
            owner: comes back in `runs`, so that whoever watches knows which images a run that hangs has.
            alone: run it in no batch with others, for an image that may be the one that kills or hangs.

        Raises:
            SessionFailed: the batcher was closed.
        """
        request = _Request(tensors, owner)
        if self._threads and not alone:
            self._hand_over(request)
        else:
            with self._permits:
                self._refuse_when_closed()
                request.done.set_running_or_notify_cancel()
                self._run([request], BatchBuffers())
        return request.done

    def runs(self) -> tuple[Run, ...]:
        """What the session works on at this moment."""
        with self._lock:
            return tuple(self._under_way)

    def close(self) -> None:
        """Run what was handed over, then end the streams; a second call does nothing."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
            for _ in self._threads if is_first else ():
                self._requests.put(None)
        for thread in self._threads:
            thread.join()
        if is_first:  # what runs in its submitter's thread ends before the session may go
            for _ in range(self.policy.streams):
                self._permits.acquire()
            self._permits.release(self.policy.streams)

    def _hand_over(self, request: _Request) -> None:
        with self._lock:  # nothing is put behind the marks that end the streams
            self._refuse_when_closed()
            self._requests.put(request)

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise SessionFailed("the batcher is closed: open the model again")

    def _stream(self) -> None:
        buffers = BatchBuffers()
        while (first := self._requests.get()) is not None:
            batch = self._gather(first)
            # A request that its owner cancelled while it waited is left out, and answers no more.
            if wanted := [request for request in batch if request.done.set_running_or_notify_cancel()]:
                with self._permits:  # an image that runs alone takes a stream's turn
                    self._run(wanted, buffers)

    def _gather(self, first: _Request) -> list[_Request]:
        batch = [first]
        deadline = time.monotonic() + self.policy.max_wait_s
        while len(batch) < self.max_batch_size:
            try:
                request = self._requests.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if request is None:
                self._requests.put(None)
                break
            batch.append(request)
        return batch

    def _run(self, batch: Sequence[_Request], buffers: BatchBuffers) -> None:
        run = Run(time.monotonic(), tuple(request.owner for request in batch))
        with self._lock:
            self._under_way.add(run)
        try:
            outputs = self._forward(buffers.join([request.tensors for request in batch]))
            answers = _split(buffers.own(outputs), len(batch))
        except Exception as error:  # noqa: BLE001 (whatever a runtime raises belongs to these images)
            self._end(run, 0)
            self._run_halves(batch, error, buffers)
            return
        self._end(run, len(batch))
        for request, answer in zip(batch, answers, strict=True):
            request.done.set_result(answer)

    def _end(self, run: Run, answered: int) -> None:
        with self._lock:
            self._under_way.discard(run)
            if answered:
                self.batches += 1
                self.images += answered
                self.seconds += time.monotonic() - run.started

    def _run_halves(self, batch: Sequence[_Request], error: Exception, buffers: BatchBuffers) -> None:
        if len(batch) == 1:
            batch[0].done.set_exception(error)
            return
        middle = len(batch) // 2
        if isinstance(error, OutOfMemory):
            with self._lock:
                self.max_batch_size = min(self.max_batch_size, middle)
        self._run(batch[:middle], buffers)
        self._run(batch[middle:], buffers)


def _split(outputs: Tensors, count: int) -> list[dict[str, Array]]:
    """One image's share of each output."""
    for name, value in outputs.items():
        if value.ndim == 0 or len(value) != count:
            raise OutputInvalid(f"output {name} has shape {value.shape}, expected one entry for each of {count} images")
    return [{name: value[index : index + 1] for name, value in outputs.items()} for index in range(count)]
