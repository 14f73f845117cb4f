"""A job in one's hand: everything that can be asked of it and done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

from jobstore.schema import OutcomeState
from producer.ending import ending_lines
from producer.errors import JobFailed
from producer.gateway import RESULTS_A_PAGE
from producer.progress import Pace, progress_of
from producer.watching import watch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from jobstore.outbox import DeliveryState
    from jobstore.schema import DecisionRow, JobId
    from jobstore.views import FailureGroup, JobEvent, JobStatus
    from producer.answers import DeliveryAnswer, GatesAnswer
    from producer.exports import ExportOptions, ExportSummary
    from producer.gateway import Gateway
    from producer.progress import Progress
    from producer.result import Result


@dataclass(frozen=True, slots=True)
class Job:
    """One job. It holds no state of its own: each answer is that of the moment in which it is asked for.

    Raises:
        JobNotFound: of every method, where the job is gone or somebody else's.
        StoreUnavailable, ServerUnavailable: of every method; the same call may work later.
    """

    id: JobId
    gateway: Gateway

    def __repr__(self) -> str:
        return f"<job {self.id}>"

    def status(self) -> JobStatus:
        """Give state and counters."""
        return self.gateway.status(self.id)

    def progress(self) -> Progress:
        """Give how far the job is, with the rate since it began."""
        return progress_of(self.status())

    def watch(self, interval_s: float | None = None) -> Iterator[Progress]:
        """Give the progress again and again; the last one has ended, or needs attention.

        Args:
            interval_s: None: as often as the store or the server can well be asked.
        """
        pace = Pace()
        for status in watch(self.gateway, self.id, interval_s):
            pace.add(status.now, status.done)
            yield progress_of(status, pace)

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has ended well; failed items within its limit are well.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            JobFailed: it failed, was cancelled, expired, needs attention, or ended over its failure limit.
            JobTimeout: it has not ended in time; it goes on.
        """
        return self.judge(self.gateway.wait(self.id, timeout))

    def judge(self, status: JobStatus) -> JobStatus:
        """Give the status of a job that ended well.

        Raises:
            JobFailed: it did not.
        """
        if (lines := ending_lines(status)) is not None:
            words = "\n".join(line for line in lines if line)
            raise JobFailed(f"job {self.id}: {words}", status, self.gateway.failures(self.id))
        return status

    def why_waiting(self) -> str | None:
        """Say why a running job does not move. None: it may move."""
        return self.gateway.why_waiting(self.id)

    def results(
        self,
        where: str | None = None,
        *,
        states: Collection[OutcomeState | str] = (),
        batch: int = RESULTS_A_PAGE,
    ) -> Iterator[Result]:
        """Stream outcomes in the order of the items, also while the job runs.

        Args:
            where: only those of which this is true, such as `score > .5 and label == 'person'`: docs/python.md.
            states: only those that ended so; empty: all.
            batch: rows that are fetched at a time; memory does not grow with the job.

        Raises:
            FilterInvalid: at once, before anything is fetched.
        """
        from producer.reading import read_results
        from producer.where import parse_where

        wanted = frozenset(OutcomeState(state) for state in states)
        return read_results(self.gateway, self.id, None if where is None else parse_where(where), wanted, batch)

    @overload
    def failures(self, by: Literal["cause"] = ...) -> list[FailureGroup]: ...
    @overload
    def failures(self, by: Literal["item"]) -> Iterator[Result]: ...
    def failures(self, by: Literal["cause", "item"] = "cause") -> list[FailureGroup] | Iterator[Result]:
        """Give failed items: grouped by cause, the most frequent first, or each with its error."""
        if by == "item":
            return self.results(states={OutcomeState.FAILED})
        return self.gateway.failures(self.id)

    @property
    def decisions(self) -> list[DecisionRow]:
        """Why which backend ran, one a worker process."""
        return self.gateway.decisions(self.id)

    def events(self) -> list[JobEvent]:
        """List what happened to the job, oldest first."""
        return self.gateway.events(self.id)

    def webhooks(self, *, states: Collection[DeliveryState | str] = (), limit: int = 50) -> list[DeliveryAnswer]:
        """List messages about the job, the newest first: what was sent to whom, and what they answered.

        Args:
            states: only those: pending, delivered, given_up; empty: all.
        """
        from jobstore.outbox import DeliveryState

        wanted = [DeliveryState(state) for state in states]
        return self.gateway.webhooks(self.id, states=wanted, limit=limit)

    def resend(self, delivery_id: str) -> bool:
        """Send a message now that no receiver took; `webhooks` has their ids. False: one took it.

        Raises:
            DeliveryNotFound.
        """
        return self.gateway.resend(delivery_id)

    def gates(self) -> GatesAnswer:
        """Give what the job's gates say of it: the verdict, each gate's finding, the figures that were judged."""
        return self.gateway.gates(self.id)

    def accept_gates(self) -> bool:
        """Take a run that failed its gates for a good one: later runs are held against it. False: it did not fail."""
        return self.gateway.accept_gates(self.id)

    def export(
        self, dest: str | Path, formats: str | Sequence[str], options: ExportOptions | None = None
    ) -> list[ExportSummary]:
        """Write the results as datasets, here, whether the job is here or on a server.

        Args:
            dest: a folder, or `s3://bucket/prefix`.
            formats: such as `coco,yolo`, or a list; all of them: `producer.exports.known_formats()`.

        Raises:
            FormatUnknown, FormatUnsuitable, ExportOptionInvalid: before anything is written.
            ExportFailed: the disk or the bucket refuses.
        """
        from producer.exporting import export_job
        from producer.exports import EVERYTHING

        names = formats.split(",") if isinstance(formats, str) else formats
        return export_job(self.gateway, self.id, [name.strip() for name in names], dest, options or EVERYTHING)

    def retry(
        self,
        *,
        failed: bool = True,
        skipped: bool = False,
        causes: Collection[str] = (),
        batch_size: int | None = None,
        hardware: Sequence[str] = (),
    ) -> int:
        """Run items again, in this job, and give their number; 0: there is none, and nothing was changed.

        Args:
            failed, skipped: which outcomes are taken back; what is ok stays.
            causes: codes of errors; empty: whatever the error.
            batch_size: images a run from now on, such as 1 after `out_of_memory`.
            hardware: classes from now on, best first; empty: as before.

        Raises:
            InvalidJob: neither failed nor skipped, or a class that is none.
        """
        chosen = ((OutcomeState.FAILED, failed), (OutcomeState.SKIPPED, skipped))
        states = [state for state, is_meant in chosen if is_meant]
        return self.gateway.retry(self.id, states=states, codes=causes, batch_size=batch_size, hardware=tuple(hardware))

    def pause(self) -> bool:
        """Stop the job until it is resumed. False: it does not run."""
        return self.gateway.pause(self.id)

    def resume(self, max_failures: int | None = None, max_failure_rate: float | None = None) -> bool:
        """Go on with a job that was paused or needs attention, with new limits if given. False: it is neither."""
        return self.gateway.resume(self.id, max_failures, max_failure_rate)

    def reprioritise(self, priority: int) -> bool:
        """Give the job another priority, higher first. False: it has ended."""
        return self.gateway.reprioritise(self.id, priority)

    def cancel(self) -> bool:
        """End the job; what was labelled stays. False: it had ended before."""
        return self.gateway.cancel(self.id)
