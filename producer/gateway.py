"""The one seam under every way in: what `Producer`, the command line, HTTP and the pages ask of a job system.

`producer.direct.Direct` answers from the job store itself, `producer.remote.Remote` by asking a server. All
arguments and answers are plain data; an id is a full one, as `find` and `submit` give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from jobstore.schema import OutcomeState, WorkerId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from jobstore.outbox import DeliveryState
    from jobstore.schema import DecisionRow, ItemRef, JobId, JobSpec, JobState, WorkerRow
    from jobstore.views import FailureGroup, JobEvent, JobStatus, QueueRow, ResultRow
    from producer.answers import DeliveryAnswer, GatesAnswer

#: Rows of results that are fetched at a time.
RESULTS_A_PAGE = 500


class Basis(StrEnum):
    """What is known of the machine that a model is explained for."""

    LIVE = "live"  # a worker that runs reported it
    LAST = "last"  # the last worker of the class reported it, and none runs now
    ASSUMED = "assumed"  # nobody ever reported one: the answering machine with the device of the class's name
    HERE = "here"  # no class was named and no worker runs: the machine that answers


@dataclass(frozen=True, slots=True)
class MeantMachine:
    """The machine that a model is explained for.

    Attributes:
        hardware: the class; `auto`: none was named, and no worker runs.
        worker_id: of the worker that reported it.
        heard: that worker's last sign of life, seconds since the epoch; `age_s` seconds before the answer.
        report: what is known of it, as the worker or the machine that answers describes it.
    """

    basis: Basis
    hardware: str
    worker_id: WorkerId | None = None
    heard: float | None = None
    age_s: float | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which backend would run a model, and what speaks against the others.

    Attributes:
        task: of the chosen package, or of the first; None: no package could be read.
        chosen: the candidate that would run, one of `candidates`; None: none does.
        candidates: every package x backend x precision as JSON's types, with all reasons.
        warnings: of packages, for people.
        machine: for which it was judged; None: a server of an earlier version does not say.
    """

    model: str
    task: str | None
    chosen: Mapping[str, Any] | None
    candidates: tuple[Mapping[str, Any], ...]
    warnings: tuple[str, ...] = ()
    machine: MeantMachine | None = None


class Gateway(Protocol):
    """Every operation of a producer. What a job cannot do in its state is answered by False, never by an exception.

    Raises:
        JobNotFound: of every method that takes an id.
        InvalidJob: a field that cannot be.
        StoreUnavailable, ServerUnavailable: nobody answers; the same call may work later.
    """

    #: Seconds between two looks at a job that is watched.
    interval_s: float

    def carry(self, items: Iterable[ItemRef]) -> Iterator[ItemRef]:
        """Give the items as those who work on them can read them; a file that they cannot reach is brought there."""
        ...

    def submit(self, spec: JobSpec, items: Iterable[ItemRef]) -> JobId:
        """Accept a job: once this returns, the work is safe. The same `client_token` gives the same job again."""
        ...

    def create_draft(self, spec: JobSpec) -> JobId:
        """Accept a job whose items follow; nothing runs before it is sealed."""
        ...

    def append_items(self, job_id: JobId, items: Iterable[ItemRef], *, part_token: str) -> int:
        """Add items to a draft and give their number; a second call with the same token adds nothing."""
        ...

    def seal(self, job_id: JobId) -> bool:
        """Let a draft run; it takes no more items. False: it was sealed before."""
        ...

    def find(self, text: str) -> JobId:
        """Give a job's full id, from a unique part of it."""
        ...

    def status(self, job_id: JobId) -> JobStatus:
        """Give a job's state and counters of this moment."""
        ...

    def jobs(
        self, *, states: Collection[JobState] = (), limit: int = 50, since: float | None = None
    ) -> list[JobStatus]:
        """List jobs, the newest first; no states means all, `since` is the oldest creation time."""
        ...

    def wait(self, job_id: JobId, timeout_s: float | None = None) -> JobStatus:
        """Wait until a job has ended or needs attention.

        Raises:
            JobTimeout: it has not in time; it goes on.
        """
        ...

    def why_waiting(self, job_id: JobId) -> str | None:
        """Say why a running job does not move. None: it may move."""
        ...

    def events(self, job_id: JobId) -> list[JobEvent]:
        """List what happened to a job, oldest first."""
        ...

    def results(
        self, job_id: JobId, *, states: Collection[OutcomeState] = (), batch: int = RESULTS_A_PAGE
    ) -> Iterator[ResultRow]:
        """Give outcomes in the order of the items, also while the job runs, `batch` of them fetched at a time."""
        ...

    def failures(self, job_id: JobId) -> list[FailureGroup]:
        """Group failed items by cause, the most frequent first."""
        ...

    def decisions(self, job_id: JobId) -> list[DecisionRow]:
        """Say why which backend ran, one row a worker process."""
        ...

    def webhooks(
        self, job_id: JobId, *, states: Collection[DeliveryState] = (), limit: int = 50
    ) -> list[DeliveryAnswer]:
        """List messages about a job, the newest first: what was sent to whom, and what they answered."""
        ...

    def resend(self, delivery_id: str) -> bool:
        """Send a message now that no receiver took. False: one took it.

        Raises:
            DeliveryNotFound.
        """
        ...

    def gates(self, job_id: JobId) -> GatesAnswer:
        """Give what a job's gates say of it, and the figures that they judged."""
        ...

    def accept_gates(self, job_id: JobId) -> bool:
        """Take a run that failed its gates for a good one: later runs are held against it. False: it did not fail."""
        ...

    def pause(self, job_id: JobId) -> bool:
        """Stop a job until it is resumed. False: it does not run."""
        ...

    def resume(self, job_id: JobId, max_failures: int | None = None, max_failure_rate: float | None = None) -> bool:
        """Go on with a stopped job, with new limits where they are given. False: it is not stopped."""
        ...

    def reprioritise(self, job_id: JobId, priority: int) -> bool:
        """Give a job another priority, higher first. False: it has ended."""
        ...

    def cancel(self, job_id: JobId) -> bool:
        """End a job; what has no outcome yet is skipped. False: it had ended before."""
        ...

    def retry(
        self,
        job_id: JobId,
        *,
        states: Collection[OutcomeState] = (OutcomeState.FAILED,),
        codes: Collection[str] = (),
        batch_size: int | None = None,
        hardware: Sequence[str] = (),
    ) -> int:
        """Run items of a job again, in the same job, and give their number; 0: there is none, nothing was changed.

        Args:
            states: of the outcomes that are taken back: failed, skipped or both.
            codes: of these errors only; empty: of any.
            batch_size: images a run from now on; None: as before.
            hardware: classes that may run it from now on, best first; empty: as before.
        """
        ...

    def queues(self, hardware: str | None = None) -> list[QueueRow]:
        """Give what waits and runs in each queue, of one hardware class or of all, and why it waits."""
        ...

    def workers(self) -> list[WorkerRow]:
        """List workers; one that is silent has the state `lost`."""
        ...

    def explain(self, model: str, hardware: str, wishes: Mapping[str, Any], *, assume: bool = False) -> Explanation:
        """Say which backend would run a model on the fleet's machines of a class.

        Args:
            hardware: `auto` is the best class that a worker serves, or else the machine that answers.
            assume: of a class that no worker ever reported, assume what its name implies.

        Raises:
            MachineUnknown: no worker of the class ever reported its machine.
        """
        ...

    def is_silent(self) -> bool:
        """Say whether nobody is known who would begin with a job: no Redis is configured or runs here."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...
