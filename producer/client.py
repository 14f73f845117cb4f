"""Submit jobs, follow them, read their results."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from jobstore.dispatch import Doorbell
from jobstore.errors import BrokerUnavailable
from jobstore.queues import queue_name
from jobstore.schema import SETTLED_STATES, DecisionRow, ItemRef, JobId, JobSpec, JobState, OutcomeState
from jobstore.store import JobStore
from jobstore.views import FailureGroup, JobStatus, ResultRow
from producer.errors import ProducerError
from producer.exports import EVERYTHING, Dataset, ExportOptions, ExportSummary, find_format, write_exports
from producer.exports.bucket import is_bucket, upload_exports

logger = logging.getLogger(__name__)

#: Seconds between two looks at a job whose end may have been announced to nobody.
_LOOK_S = 1.0
#: Hints that a queue holds in Redis at most; the same figure as a worker machine's default.
WINDOW = 32


class JobTimeout(ProducerError):
    """The job has not ended in time; it goes on, and a later wait may see its end."""

    code = "job_timeout"
    retryable = True


class Producer:
    """Everything that a submitter does; needs no model runtime."""

    def __init__(self, store: JobStore, doorbell: Doorbell, window: int = WINDOW) -> None:
        self._store, self._doorbell, self._window = store, doorbell, window

    @classmethod
    def connect(cls, database_url: str, broker_url: str) -> Self:
        """A producer for a fleet's database and Redis; nothing is connected until it is used."""
        return cls(JobStore.open(database_url), Doorbell(broker_url))

    def submit(self, spec: JobSpec, items: Iterable[ItemRef]) -> JobId:
        """Accept a job: once this returns an id, the job is safe, whatever happens to Redis.

        Args:
            items: for example `producer.sources.expand(...)`; a generator of a million is fine.

        Raises:
            InvalidJob: no items, or a field that cannot be.
            SourceInvalid: from `items`; nothing is accepted then.
            StoreUnavailable: nothing was accepted, unless a second submit with the same `client_token` says so.
        """
        job_id = self._store.add_job(spec, items, lambda hardware: queue_name(hardware, spec.model))
        queue = queue_name(spec.hardware[0], spec.model)
        if spec.priority > 0:
            self._store.recall_outranked()
        self._ring(job_id, queue)
        return job_id

    def find(self, text: str) -> JobId:
        """A job's full id, from a unique part of it."""
        return self._store.find_job(text)

    def status(self, job_id: JobId) -> JobStatus:
        """The job's state and counters now."""
        return self._store.status(job_id)

    def jobs(
        self, *, states: Collection[JobState] = (), limit: int = 50, since: float | None = None
    ) -> list[JobStatus]:
        """Jobs, the newest first."""
        return self._store.jobs(states=states, limit=limit, since=since)

    def watch(self, job_id: JobId, interval_s: float = 0.2) -> Iterator[JobStatus]:
        """The job's status again and again; the last one has ended, or needs attention."""
        while True:
            status = self._store.status(job_id)
            yield status
            if status.is_settled:
                return
            time.sleep(interval_s)

    def wait(self, job_id: JobId, timeout_s: float | None = None) -> JobStatus:
        """Wait until the job has ended, or needs attention.

        Raises:
            JobTimeout: it has not in time; it goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._doorbell.listening(job_id) as wait_for_news:
            wait_for_news(0.0)  # listens from here on: an end between the look and the wait is not missed
            while self._store.state(job_id) not in SETTLED_STATES:
                left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - time.monotonic())
                if left <= 0:
                    status = self._store.status(job_id)
                    raise JobTimeout(f"job {job_id} is {status.state}, {status.pending} of {status.total} items left")
                wait_for_news(left)
        return self._store.status(job_id)

    def results(self, job_id: JobId, *, states: Collection[OutcomeState] = ()) -> Iterator[ResultRow]:
        """Outcomes in the order of the items; also while the job runs."""
        return self._store.results(job_id, states=states)

    def failures(self, job_id: JobId) -> list[FailureGroup]:
        """Failed items, grouped by cause."""
        return self._store.failures(job_id)

    def decisions(self, job_id: JobId) -> list[DecisionRow]:
        """Why which backend ran, one row a worker process."""
        return self._store.decisions(job_id)

    def pause(self, job_id: JobId) -> bool:
        """Stop the job until it is resumed. False: it does not run."""
        return self._store.pause(job_id)

    def resume(self, job_id: JobId, max_failures: int | None = None, max_failure_rate: float | None = None) -> bool:
        """Go on with a job that was paused or needs attention; what failed before it needed any is forgiven.

        Args:
            max_failures, max_failure_rate: new limits; None leaves the old ones.
        """
        is_changed = self._store.resume(job_id, max_failures, max_failure_rate)
        self._ring(job_id)
        return is_changed

    def reprioritise(self, job_id: JobId, priority: int) -> bool:
        """Give the job another priority, higher first, also over what waits in Redis. False: it has ended."""
        is_changed = self._store.reprioritise(job_id, priority)
        self._ring(job_id)
        return is_changed

    def cancel(self, job_id: JobId) -> bool:
        """End the job; what has no outcome yet is skipped. False: it had ended before."""
        is_ended = self._store.cancel(job_id)
        self._doorbell.announce_end(job_id)
        return is_ended

    def export(
        self, job_id: JobId, formats: Sequence[str], dest: Path | str, options: ExportOptions = EVERYTHING
    ) -> list[ExportSummary]:
        """Write the results below a folder or `s3://bucket/prefix`: a file or folder a format, `manifest.json` last.

        Raises:
            FormatUnknown, FormatUnsuitable, ExportOptionInvalid: before anything is written.
            ExportFailed: the disk or the bucket refuses; no half-written file is visible.
        """
        dataset = self._dataset(job_id, options)
        if is_bucket(dest):
            return upload_exports(dataset, formats, str(dest))
        return write_exports(dataset, formats, Path(dest))

    def fitting(self, job_id: JobId, formats: Sequence[str]) -> tuple[str, ...]:
        """Those of the formats that have a place for what the job's model found.

        Raises:
            FormatUnknown.
        """
        record = self._dataset(job_id, EVERYTHING).first_record()
        return tuple(name for name in formats if record is None or find_format(name).fits(record))

    def _dataset(self, job_id: JobId, options: ExportOptions) -> Dataset:
        decisions = {str(row.decision_id): row for row in self._store.decisions(job_id)}
        return Dataset(self._store.status(job_id), decisions, lambda: self._store.results(job_id), options)

    def close(self) -> None:
        """Give the connections back."""
        self._doorbell.close()
        self._store.close()

    def _ring(self, job_id: JobId, queue: str | None = None) -> None:
        """Send what is due; what Redis does not take now, the relay sends."""
        try:
            self._doorbell.ring(self._store.release(self._window, queue))
        except BrokerUnavailable as error:
            logger.warning("job %s is safe; its hints go out when Redis is back: %s", job_id, error)
