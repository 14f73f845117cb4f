"""`AsyncProducer`: the same operations for programs that await. Each call runs in a thread, over the same gateway.

Cancelled, an awaiting task is free at once: the call that is in flight ends by itself, and nothing follows it. A submit
that is cancelled while its items are still read accepts nothing; one that was cancelled later may have been accepted,
which another with the same `idempotency_key` tells.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from producer.client import Producer
from producer.drafting import Draft
from producer.ending import words_of_timeout
from producer.errors import JobTimeout
from producer.gateway import RESULTS_A_PAGE
from producer.job import Job
from producer.progress import Pace, progress_of
from producer.request import items_of
from producer.sources import SourceReport

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from jobstore.outbox import DeliveryState
    from jobstore.schema import DecisionRow, ItemRef, JobId, JobState, OutcomeState, WorkerRow
    from jobstore.views import FailureGroup, JobEvent, JobStatus, QueueRow
    from producer.answers import DeliveryAnswer, GatesAnswer
    from producer.exports import ExportOptions, ExportSummary
    from producer.gateway import Explanation
    from producer.progress import Progress
    from producer.request import JobOptions
    from producer.result import Result
    from producer.sending import Files
    from producer.sources import Source

T = TypeVar("T")


class Cancelled(Exception):
    """Raised in the thread of a call whose task was cancelled; nobody is left to see it."""


@dataclass(frozen=True, slots=True)
class AsyncJob:
    """One job; every method is that of `Job`, awaited."""

    job: Job

    def __repr__(self) -> str:
        return repr(self.job)

    @property
    def id(self) -> JobId:
        """The job's full id."""
        return self.job.id

    async def status(self) -> JobStatus:
        """Give state and counters."""
        return await asyncio.to_thread(self.job.status)

    async def progress(self) -> Progress:
        """Give how far the job is, with the rate since it began."""
        return await asyncio.to_thread(self.job.progress)

    async def watch(self, interval_s: float | None = None) -> AsyncIterator[Progress]:
        """Give the progress again and again; the last one has ended, or needs attention."""
        pace = Pace()
        async for status in self._statuses(interval_s):
            pace.add(status.now, status.done)
            yield progress_of(status, pace)

    async def wait(self, timeout: float | None = None) -> JobStatus:  # noqa: ASYNC109 - as `Job.wait` has it
        """Wait until the job has ended well.

        Raises:
            JobFailed, JobTimeout: as of `Job.wait`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        async for status in self._statuses(None, deadline):
            if status.is_settled:
                return await asyncio.to_thread(self.job.judge, status)
        status = await self.status()
        raise JobTimeout(words_of_timeout(status), status, await self.failures())

    async def why_waiting(self) -> str | None:
        """Say why a running job does not move. None: it may move."""
        return await asyncio.to_thread(self.job.why_waiting)

    async def results(
        self, where: str | None = None, *, states: Collection[OutcomeState | str] = (), batch: int = RESULTS_A_PAGE
    ) -> AsyncIterator[Result]:
        """Stream outcomes in the order of the items."""
        rows = self.job.results(where, states=states, batch=batch)
        while page := await asyncio.to_thread(_take, rows, batch):
            for result in page:
                yield result

    async def failures(self) -> list[FailureGroup]:
        """Give failed items grouped by cause; each with its error: `results(states=["failed"])`."""
        return await asyncio.to_thread(self.job.failures)

    async def decisions(self) -> list[DecisionRow]:
        """Say why which backend ran, one a worker process."""
        return await asyncio.to_thread(lambda: self.job.decisions)

    async def events(self) -> list[JobEvent]:
        """List what happened to the job, oldest first."""
        return await asyncio.to_thread(self.job.events)

    async def webhooks(self, *, states: Collection[DeliveryState | str] = (), limit: int = 50) -> list[DeliveryAnswer]:
        """List messages about the job, the newest first."""
        return await asyncio.to_thread(lambda: self.job.webhooks(states=states, limit=limit))

    async def resend(self, delivery_id: str) -> bool:
        """Send a message now that no receiver took. False: one took it."""
        return await asyncio.to_thread(self.job.resend, delivery_id)

    async def gates(self) -> GatesAnswer:
        """Give what the job's gates say of it, and the figures that were judged."""
        return await asyncio.to_thread(self.job.gates)

    async def accept_gates(self) -> bool:
        """Take a run that failed its gates for a good one. False: it did not fail."""
        return await asyncio.to_thread(self.job.accept_gates)

    async def export(
        self, dest: str | Path, formats: str | Sequence[str], options: ExportOptions | None = None
    ) -> list[ExportSummary]:
        """Write the results as datasets, here."""
        return await asyncio.to_thread(self.job.export, dest, formats, options)

    async def retry(
        self,
        *,
        failed: bool = True,
        skipped: bool = False,
        causes: Collection[str] = (),
        batch_size: int | None = None,
        hardware: Sequence[str] = (),
    ) -> int:
        """Run items again, in this job, and give their number."""
        return await asyncio.to_thread(
            lambda: self.job.retry(
                failed=failed, skipped=skipped, causes=causes, batch_size=batch_size, hardware=hardware
            )
        )

    async def pause(self) -> bool:
        """Stop the job until it is resumed. False: it does not run."""
        return await asyncio.to_thread(self.job.pause)

    async def resume(self, max_failures: int | None = None, max_failure_rate: float | None = None) -> bool:
        """Go on with a job that was paused or needs attention. False: it is neither."""
        return await asyncio.to_thread(self.job.resume, max_failures, max_failure_rate)

    async def reprioritise(self, priority: int) -> bool:
        """Give the job another priority, higher first. False: it has ended."""
        return await asyncio.to_thread(self.job.reprioritise, priority)

    async def cancel(self) -> bool:
        """End the job; what was labelled stays. False: it had ended before."""
        return await asyncio.to_thread(self.job.cancel)

    async def _statuses(self, interval_s: float | None, deadline: float | None = None) -> AsyncIterator[JobStatus]:
        """Give the status again and again, the last one settled or just before the deadline."""
        pause = self.job.gateway.interval_s if interval_s is None else interval_s
        while True:
            status = await self.status()
            yield status
            left = pause if deadline is None else min(pause, deadline - time.monotonic())
            if status.is_settled or left <= 0:
                return
            await asyncio.sleep(left)


@dataclass(frozen=True, slots=True)
class AsyncDraft:
    """A job that takes more items; `async with` seals it at the end, and cancels it after an exception."""

    draft: Draft

    @property
    def job(self) -> AsyncJob:
        """The job, which runs once it is sealed."""
        return AsyncJob(self.draft.job)

    async def add(
        self, sources: Source | ItemRef | Iterable[Source | ItemRef], *, part_token: str | None = None
    ) -> int:
        """Add the items of sources, and give their number."""
        return await asyncio.to_thread(lambda: self.draft.add(sources, part_token=part_token))

    async def seal(self) -> AsyncJob:
        """Let it run; a second time changes nothing."""
        return AsyncJob(await asyncio.to_thread(self.draft.seal))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.draft.__exit__, kind, error, at)


class AsyncProducer:
    """`Producer`, awaited; arguments are the same, and `async with` opens and closes it."""

    def __init__(self, url: str | None = None, *, token: str | None = None, files: Files = "send") -> None:
        self._open: Callable[[], Producer] = lambda: Producer(url, token=token, files=files)
        self._opened: Producer | None = None
        self._lock = threading.Lock()

    @classmethod
    def over(cls, producer: Producer) -> Self:
        """Give the same producer, awaited."""
        made = cls()
        made._opened = producer
        return made

    async def submit(
        self,
        model: str | os.PathLike[str],
        sources: Source | ItemRef | Iterable[Source | ItemRef],
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """Hand over a job: once this returns, the work is safe."""
        with _cancelling() as while_wanted:

            def submit() -> Job:
                producer = self._producer()
                items = items_of(sources, options, SourceReport())
                return producer.accept(producer.spec(model, options), while_wanted(items))

            return AsyncJob(await asyncio.to_thread(submit))

    async def draft(self, model: str | os.PathLike[str], **options: Unpack[JobOptions]) -> AsyncDraft:
        """Begin a job whose items come part by part: `async with await producer.draft(...) as draft`."""
        return AsyncDraft(await asyncio.to_thread(lambda: self._producer().draft(model, **options)))

    async def job(self, text: str) -> AsyncJob:
        """Give a job by its id, or by at least four characters of its beginning or end."""
        return AsyncJob(await asyncio.to_thread(lambda: self._producer().job(text)))

    async def jobs(
        self, *, states: Collection[JobState | str] = (), limit: int = 50, since: float | None = None
    ) -> list[AsyncJob]:
        """List jobs, the newest first."""
        found = await asyncio.to_thread(lambda: self._producer().jobs(states=states, limit=limit, since=since))
        return [AsyncJob(job) for job in found]

    async def explain(
        self,
        model: str | os.PathLike[str],
        hardware: str = "auto",
        wishes: Mapping[str, Any] | None = None,
        *,
        assume: bool = False,
    ) -> Explanation:
        """Say which backend would run a model on the fleet's machines of a class; see `Producer.explain`."""
        return await asyncio.to_thread(lambda: self._producer().explain(model, hardware, wishes, assume=assume))

    async def queues(self, hardware: str | None = None) -> list[QueueRow]:
        """Give what waits and runs in each queue, and why it waits."""
        return await asyncio.to_thread(lambda: self._producer().queues(hardware))

    async def workers(self) -> list[WorkerRow]:
        """List workers; one that is silent has the state `lost`."""
        return await asyncio.to_thread(lambda: self._producer().workers())

    async def close(self) -> None:
        """Give the connections back."""
        if self._opened is not None:
            await asyncio.to_thread(self._opened.close)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._producer)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _producer(self) -> Producer:
        """Open it in the thread of the first call: that may connect, and make a database."""
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened


@contextmanager
def _cancelling() -> Iterator[Callable[[Iterable[T]], Iterator[T]]]:
    """Give what a thread wraps its items in: they raise `Cancelled` once the block was left."""
    is_over = threading.Event()

    def while_wanted(items: Iterable[T]) -> Iterator[T]:
        for item in items:
            if is_over.is_set():
                raise Cancelled
            yield item
        if is_over.is_set():
            raise Cancelled

    try:
        yield while_wanted
    finally:
        is_over.set()


def _take(rows: Iterator[T], number: int) -> list[T]:
    return list(islice(rows, number))
