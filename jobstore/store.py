"""The job store: every method is one transaction on SQLite or PostgreSQL. SQL is the truth, Redis only the doorbell."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Self

from jobstore import (
    backlog,
    bundles,
    deserving,
    endings,
    failing,
    finding,
    item_pages,
    leases,
    reading,
    receipts,
    recording,
    relay_statements,
    retrying,
    routing,
    schema_version,
    steering,
    submit,
    tenancy,
)
from jobstore.connection import Database
from jobstore.drafts import Drafts
from jobstore.errors import InvalidJob, LeaseLost
from jobstore.events import events_of
from jobstore.export_requests import ExportRequests
from jobstore.fleet import Fleet
from jobstore.glances import Glances
from jobstore.ids import new_id
from jobstore.item_pages import ItemFilter
from jobstore.openings import Openings
from jobstore.outbox import Outbox
from jobstore.reading import JobFilter
from jobstore.repairs import Repairs
from jobstore.result_cache import KnownResults
from jobstore.schedules import Schedules
from jobstore.schema import (
    RUNNABLE_STATES,
    DecisionId,
    DecisionRow,
    Hint,
    ItemRef,
    JobId,
    JobSpec,
    JobState,
    Lease,
    Outcome,
    OutcomeState,
    Renewal,
    ShardEnd,
    ShardId,
    WorkerId,
)
from jobstore.tokens import Tokens
from jobstore.upkeep import Upkeep
from jobstore.verdicts import Verdicts
from jobstore.views import FailureGroup, ItemRow, JobEvent, JobStatus, ResultRow
from jobstore.window import release as release_window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from types import TracebackType


class JobStore:
    """All SQL of the system; threads may share it. A lost database is `StoreUnavailable`, from every method.

    Attributes:
        schedules: jobs that come back by the clock.
        outbox: webhooks that are to be sent.
        exports: exports that are to be made.
        verdicts: jobs with gates that are to be judged, and what was found.
        glances: what pages show; cheap however large a job is.
        drafts: jobs that are filled part by part.
        openings: how the models of jobs open, and what comes of it where they do not.
        known: results of earlier runs.
        fleet: workers, queues, and what is learned of them.
        relay: what a relay finds and mends.
        tokens: who may ask the HTTP interface.
        upkeep: chores that one process does at a time.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.schedules, self.outbox, self.exports = Schedules(database), Outbox(database), ExportRequests(database)
        self.glances, self.drafts, self.openings = Glances(database), Drafts(database), Openings(database)
        self.known, self.fleet, self.relay = KnownResults(database), Fleet(database), Repairs(database)
        self.tokens, self.verdicts, self.upkeep = Tokens(database), Verdicts(database), Upkeep(database)

    @classmethod
    def open(cls, url: str, *, patience_s: float = 15.0) -> JobStore:
        """Open a store without connecting yet.

        Args:
            url: `sqlite:///path` or `postgresql+psycopg://user@host/name`.
            patience_s: how long a method repeats a transaction that was locked, deadlocked or cut off.
        """
        return cls(Database(url, patience_s))

    def close(self) -> None:
        """Give the connections back."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def create_schema(self) -> None:
        """Make every table without Alembic; what `nightshift db upgrade` gives, for tests."""
        self._db.write(schema_version.create_schema)

    def check_schema(self) -> None:
        """Raise `SchemaOutdated` unless the tables are those of this version."""
        self._db.read(schema_version.check_schema)

    # -- submit ------------------------------------------------------------------------------------------------------

    def add_job(self, spec: JobSpec, items: Iterable[ItemRef], queue_of: Callable[[str], str]) -> JobId:
        """Write a job with its items and shards; once this returns, the work is accepted for good.

        Args:
            spec: what is asked for; see `JobSpec`.
            items: may be a generator of a million; memory stays flat.
            queue_of: gives the queue of a hardware class.

        Returns:
            The new job's id, or that of the tenant's job which has the same client token.

        Raises:
            InvalidJob: no items, or a field that cannot be.
            ClientTokenReused: the token belongs to another request.
        """
        submit.check_spec(spec)
        earlier = self._db.read(lambda db: submit.job_of_token(db, spec))
        if earlier is not None:
            return earlier
        job_id, queue = JobId(new_id()), queue_of(spec.hardware[0])
        with submit.ItemSpool(items) as spool:
            if not spool.total:
                raise InvalidJob("the source has no items: expected at least one picture or video")
            return self._db.write(lambda db: submit.insert_job(db, job_id, spec, spool, queue))

    # -- work --------------------------------------------------------------------------------------------------------

    def release(self, window: int, queue: str | None = None) -> list[Hint]:
        """Mark the next pending shards as queued, `window` a queue at most, and give their hints in order."""
        return self._db.write(lambda db: release_window(db, window, queue))

    def lease_shard(self, shard_id: ShardId, attempt: int, owner: WorkerId, lease_s: float) -> Lease | None:
        """Take the most deserving shard of the hinted one's queue, or None.

        None: the hint is late or doubled, its job is stopped or over, or nothing was left to do.
        """
        return self._db.write(lambda db: leases.lease_shard(db, shard_id, attempt, owner, lease_s))

    def newcomer(self, queues: Collection[str]) -> Hint | None:
        """Give a hint of one of these queues whose tenant has nothing in work there; None: there is none."""
        return self._db.read(lambda db: deserving.newcomer(db, queues))

    def lease_beside(self, first: Lease, most_items: int, lease_s: float) -> list[Lease]:
        """Take other small shards of a lease's queue that wait behind the window, of `most_items` items together."""
        return self._db.write(lambda db: bundles.lease_beside(db, first, most_items, lease_s))

    def renew(self, owner: WorkerId, held: Sequence[tuple[ShardId, int]], lease_s: float) -> Renewal:
        """Lengthen leases, and say which shards are still this owner's and which it should give back."""
        return self._db.write(lambda db: leases.renew(db, owner, held, lease_s))

    def record(
        self,
        lease: Lease,
        outcomes: Sequence[Outcome],
        *,
        decision_id: DecisionId | None,
        lease_s: float,
        finished: bool,
    ) -> bool:
        """Write outcomes under the lease's fence; with the last ones, `finished`, the shard ends.

        Returns:
            Whether the job ended by this.

        Raises:
            LeaseLost: the shard is somebody else's by now; nothing was written.
            ValueError: `finished` with items that have no outcome, or outcomes for other items; nothing was written.
        """
        flush = recording.Flush(lease, recording.encode_outcomes(lease, outcomes, decision_id), finished)
        (answer,) = self._db.write(lambda db: recording.record(db, [flush], lease_s))
        if isinstance(answer, LeaseLost):
            raise answer
        return answer

    def record_all(self, ends: Sequence[ShardEnd], *, lease_s: float) -> list[bool | LeaseLost]:
        """Write the last outcomes of several shards and end them; each as `record` does, all in one transaction.

        Returns:
            Of each whether its job ended by it, or the error where its lease was lost and nothing of it was written.

        Raises:
            ValueError: a shard has items without an outcome, or outcomes for other items; nothing of all was written.
        """
        flushes = [
            recording.Flush(end.lease, recording.encode_outcomes(end.lease, end.outcomes, end.decision_id), True)
            for end in ends
        ]
        return self._db.write(lambda db: recording.record(db, flushes, lease_s))

    def release_shard(self, lease: Lease) -> bool:
        """Give an unfinished shard back when draining; False: it was no longer ours."""
        return self._db.change(lambda db: leases.release_shard(db, lease))

    def count_death(self, lease: Lease, max_deaths: int) -> bool:
        """Give a shard back that ended, or is about to end, this process: as if its lease had run out.

        Args:
            max_deaths: lost workers after which the shard is split, and an item given up that two of them had alone.
                Where its model was not open yet, after which its class is refused.

        Returns:
            False: it was no longer ours.
        """
        return self._db.change(lambda db: relay_statements.count_death(db, lease, max_deaths))

    def add_decision(self, row: DecisionRow) -> DecisionId:
        """Write why a backend runs; the job's first decision gives it its task, class names and digest."""
        return self.add_decisions([row])[0]

    def add_decisions(self, rows: Sequence[DecisionRow]) -> list[DecisionId]:
        """Write why a backend runs, for several jobs at once."""
        ids = [row.decision_id or DecisionId(new_id()) for row in rows]
        return self._db.write(lambda db: receipts.add_decisions(db, list(zip(ids, rows, strict=True))))

    def fail_job(self, job_id: JobId, code: str, message: str) -> bool:
        """End a job that cannot go on; what is left is skipped. False: it had ended before."""
        return self._end_early(job_id, JobState.FAILED, code, message)

    def refuse_class(self, job_id: JobId, hardware: str, code: str, message: str) -> str | None:
        """Note that a job's model does not open on a class, and give the class on which it goes on.

        None: no class is left and the job has failed with the reasons of all, or it had ended before.
        """
        return self._db.write(lambda db: routing.refuse_class(db, job_id, hardware, code, message))

    def cancel(self, job_id: JobId) -> bool:
        """End a job that is not wanted; what is left is skipped. False: it had ended before."""
        message = "the job was cancelled before this item's turn"
        return self._end_early(job_id, JobState.CANCELLED, "cancelled", message)

    # -- steer -------------------------------------------------------------------------------------------------------

    def pause(self, job_id: JobId) -> bool:
        """Stop a running job: nothing is released, and workers give back what they hold. False: it does not run."""
        return self._db.change(
            lambda db: steering.pause(db, job_id), lambda db: reading.state(db, job_id) == JobState.PAUSED
        )

    def resume(self, job_id: JobId, max_failures: int | None = None, max_failure_rate: float | None = None) -> bool:
        """Go on with a job that was paused or needs attention, with other limits where given. False: it is neither."""
        return self._db.change(
            lambda db: steering.resume(db, job_id, max_failures, max_failure_rate),
            lambda db: reading.state(db, job_id) in RUNNABLE_STATES,
        )

    def retry(
        self,
        job_id: JobId,
        *,
        states: Collection[OutcomeState] = (OutcomeState.FAILED,),
        codes: Collection[str] = (),
        batch_size: int | None = None,
        hardware: Sequence[str] = (),
    ) -> int:
        """Run items of a job again, in the same job; the job runs again by it, unless it is paused.

        Args:
            states: of the outcomes that are taken back: failed, skipped or both.
            codes: of these errors only; empty: of any.
            batch_size: images a run from now on; None: as before.
            hardware: classes that may run it from now on, best first; empty: as before.

        Returns:
            The number of items; 0: there is none, and nothing was changed. What a worker holds now is not among them.

        Raises:
            JobNotFound, InvalidJob: nothing was changed.
        """
        asked, event_id = retrying.Retry(frozenset(states), frozenset(codes), batch_size, tuple(hardware)), new_id()
        asked.check()
        return self._db.write(lambda db: retrying.retry(db, job_id, asked, event_id))

    def reprioritise(self, job_id: JobId, priority: int) -> bool:
        """Give a job another priority, which acts on what Redis holds, too. False: it has ended."""
        return self._db.write(lambda db: steering.reprioritise(db, job_id, priority))

    def set_weight(self, tenant: str, weight: float) -> None:
        """Give a tenant so many times the share of one with the weight 1, which is everybody's until it is set."""
        self._db.write(lambda db: tenancy.set_weight(db, tenant, weight))

    # -- read --------------------------------------------------------------------------------------------------------

    def find_job(self, text: str, tenant: str | None = None) -> JobId:
        """Find a job by its id or by a unique beginning or tail of it; None searches all tenants."""
        return self._db.read(lambda db: finding.find_job(db, text, tenant))

    def status(self, job_id: JobId) -> JobStatus:
        """Give a job and the counters of this moment."""
        return self._db.read(lambda db: reading.status(db, job_id))

    def state(self, job_id: JobId) -> JobState:
        """Give a job's state alone: a tenth of the cost of `status`, for those who wait."""
        return self._db.read(lambda db: reading.state(db, job_id))

    def why_waiting(self, job_id: JobId) -> str | None:
        """Say why a running job does not move: nobody serves its classes, or its model is away. None: it may move."""
        return self._db.read(lambda db: routing.why_waiting(db, job_id))

    def jobs(
        self,
        *,
        tenant: str | None = None,
        states: Collection[JobState] = (),
        limit: int = 50,
        since: float | None = None,
    ) -> list[JobStatus]:
        """List jobs, newest first; no states means all, `since` is the oldest creation time."""
        return self.find_jobs(JobFilter(tenant, states, since), limit)

    def find_jobs(self, wanted: JobFilter, limit: int = 50) -> list[JobStatus]:
        """List jobs of a filter, newest first; `wanted.before` gives the page after another."""
        return self._db.read(lambda db: reading.list_jobs(db, wanted, limit))

    def job_of_token(self, tenant: str, client_token: str) -> JobId | None:
        """Give the job that a tenant made with this client token."""
        return self._db.read(lambda db: submit.job_with_token(db, tenant, client_token))

    def unended_job(self, tenant: str, token_prefix: str) -> JobId | None:
        """Give a tenant's newest job that has not ended and whose client token begins so."""
        return self._db.read(lambda db: finding.unended_job(db, tenant, token_prefix))

    def items(self, job_id: JobId, wanted: ItemFilter, limit: int = 100) -> list[ItemRow]:
        """List a job's items with how each ended, in their order; `wanted.after` gives the page after another."""
        return self._db.read(lambda db: item_pages.item_page(db, job_id, wanted, limit))

    def frames(self, job_id: JobId, idx: int) -> Iterator[ResultRow]:
        """Give what is written of a video's frames, in their order."""
        rows = self._results_after((idx, 0), job_id, (), 500)
        return itertools.takewhile(lambda row: row.idx == idx, rows)

    def results(self, job_id: JobId, *, states: Collection[OutcomeState] = (), batch: int = 500) -> Iterator[ResultRow]:
        """Give outcomes by item and frame; each page of `batch` rows is a transaction of its own."""
        return self._results_after((-1, 0), job_id, states, batch)

    def _results_after(
        self, after: tuple[int, int], job_id: JobId, states: Collection[OutcomeState], batch: int
    ) -> Iterator[ResultRow]:
        while page := self._page(job_id, states, after, batch):
            yield from page
            if len(page) < batch:
                return
            after = (page[-1].idx, page[-1].frame)

    def result_count(self, job_id: JobId, *, states: Collection[OutcomeState] = ()) -> int:
        """Count outcomes of these states, or all."""
        return self._db.read(lambda db: reading.result_count(db, job_id, states))

    def failures(self, job_id: JobId) -> list[FailureGroup]:
        """Group failed items by cause, the most frequent first."""
        return self._db.read(lambda db: failing.by_keys(db, job_id))

    def decisions(self, job_id: JobId) -> list[DecisionRow]:
        """List a job's backend decisions, oldest first."""
        return self._db.read(lambda db: receipts.decisions_of(db, job_id))

    def job_counts(self, tenant: str | None = None) -> dict[JobState, int]:
        """Count jobs by state, of one tenant or of all; a state that no job has is missing."""
        return self._db.read(lambda db: backlog.job_counts(db, tenant))

    def events(self, job_id: JobId, after: str | None = None) -> list[JobEvent]:
        """List what happened to a job, oldest first; after the event of this id, or all of it."""
        return self._db.read(lambda db: events_of(db, job_id, after))

    def _end_early(self, job_id: JobId, state: JobState, code: str, message: str) -> bool:
        return self._db.change(
            lambda db: endings.end_early(db, job_id, state, code, message),
            lambda db: reading.state(db, job_id) == state,
        )

    def _page(
        self, job_id: JobId, states: Collection[OutcomeState], after: tuple[int, int], limit: int
    ) -> list[ResultRow]:
        return self._db.read(lambda db: reading.result_page(db, job_id, states, after, limit))
