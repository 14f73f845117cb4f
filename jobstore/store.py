"""The job store: every method is one transaction on SQLite or PostgreSQL. SQL is the truth, Redis only the doorbell."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Self

from jobstore import (
    backlog,
    bundles,
    canary,
    deserving,
    drafts,
    endings,
    failing,
    finding,
    fleet,
    item_pages,
    learned,
    leases,
    openings,
    policy,
    quarantine,
    reading,
    receipts,
    recording,
    relay_statements,
    result_cache,
    retrying,
    routing,
    schema_version,
    steering,
    stragglers,
    submit,
    tenancy,
    tokens,
)
from jobstore.connection import Database
from jobstore.errors import InvalidJob, LeaseLost
from jobstore.events import events_of
from jobstore.export_requests import ExportRequests
from jobstore.glances import Glances
from jobstore.ids import new_id
from jobstore.item_pages import ItemFilter
from jobstore.outbox import Outbox
from jobstore.reading import JobFilter
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
    ModelBuild,
    OpeningTrouble,
    Outcome,
    OutcomeState,
    QuarantinedMessage,
    Renewal,
    ShardEnd,
    ShardId,
    WorkerId,
    WorkerRow,
)
from jobstore.tokens import TokenRow, TokenWish
from jobstore.views import AutoscaleFigures, FailureGroup, ItemRow, JobEvent, JobStatus, QueueRow, ResultRow
from jobstore.window import release as release_window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from types import TracebackType

    from sqlalchemy import Connection


class JobStore:
    """All SQL of the system; threads may share it. A lost database is `StoreUnavailable`, from every method.

    Attributes:
        schedules: jobs that come back by the clock.
        outbox: webhooks that are to be sent.
        exports: exports that are to be made.
        glances: what pages show; cheap however large a job is.
    """

    def __init__(self, database: Database) -> None:
        self._db = database
        self.schedules, self.outbox, self.exports = Schedules(database), Outbox(database), ExportRequests(database)
        self.glances = Glances(database)

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

    def create_draft(self, spec: JobSpec) -> JobId:
        """Accept a job whose items come part by part; nothing of it runs before it is sealed.

        Returns:
            The new job's id, or that of the tenant's job which has the same client token.

        Raises:
            InvalidJob: a field that cannot be.
            ClientTokenReused: the token belongs to another request.
        """
        submit.check_spec(spec)
        job_id = JobId(new_id())
        return self._db.write(lambda db: submit.job_of_token(db, spec) or drafts.create(db, job_id, spec))

    def append_items(self, job_id: JobId, items: Iterable[ItemRef], *, part_token: str) -> int:
        """Add items to a draft, behind those that are there; give their number.

        Args:
            part_token: names this part; when it comes again nothing is added, and the number is that of the first time.

        Raises:
            InvalidJob: it is no draft any more, or an item cannot be.
            JobNotFound: there is no such job.
        """
        with submit.ItemSpool(items) as spool:
            return self._db.write(lambda db: drafts.append(db, job_id, spool, part_token))

    def seal(self, job_id: JobId) -> bool:
        """Let a draft run; nothing can be added to it any more. False: it was sealed before.

        Raises:
            InvalidJob: it has no items, or ended before.
            JobNotFound: there is no such job.
        """
        return self._changed(lambda db: drafts.seal(db, job_id))

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
        return self._changed(lambda db: leases.release_shard(db, lease))

    def count_death(self, lease: Lease, max_deaths: int) -> bool:
        """Give a shard back that ended, or is about to end, this process: as if its lease had run out.

        Args:
            max_deaths: lost workers after which the shard is split; an item that stands alone is given up at the next.
                Where its model was not open yet, after which its class is refused.

        Returns:
            False: it was no longer ours.
        """
        return self._changed(lambda db: relay_statements.count_death(db, lease, max_deaths))

    def note_stage(self, lease: Lease, stage: openings.Stage) -> None:
        """Note how far the model of a leased shard is: who is lost before it is open has touched no item."""
        self._db.write(lambda db: openings.note_stage(db, lease, stage))

    def opened(self, lease: Lease) -> None:
        """Note that the model of a leased shard is open now, which ends the trouble that its job had with it."""
        self._db.write(lambda db: openings.opened(db, lease))

    def postpone(self, lease: Lease, trouble: OpeningTrouble, retry_s: float) -> float | None:
        """Give a shard back until the next try to open its model.

        Args:
            retry_s: seconds of trouble after which the class is refused.

        Returns:
            Seconds until the next try; None: the class is refused now, or the shard was no longer the lease's.
        """
        return self._db.write(lambda db: openings.postpone(db, lease, trouble, retry_s))

    def learned_batch(self, build: ModelBuild, hardware: str) -> int | None:
        """Give the batch size that fitted on this hardware class where a larger one did not."""
        return self._db.read(lambda db: learned.learned_batch(db, build, hardware))

    def learn_batch(self, build: ModelBuild, hardware: str, max_batch_size: int) -> None:
        """Note for every worker of this hardware class that a larger batch does not fit."""
        self._db.write(lambda db: learned.learn_batch(db, build, hardware, max_batch_size))

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

    # -- results of earlier runs ---------------------------------------------------------------------------------------

    def lookup_results(self, keys: Collection[str]) -> dict[str, result_cache.KnownResult]:
        """Give what is known of these keys, and note that it was used."""
        known, stale = self._db.read(lambda db: result_cache.lookup(db, keys))
        if stale:
            self._db.write(lambda db: result_cache.touch(db, stale))
        return known

    def result_cache_size(self) -> result_cache.CacheSize:
        """Say how many results are kept for later runs."""
        return self._db.read(result_cache.size)

    def prune_results(self, max_bytes: int) -> result_cache.CacheSize:
        """Remove the least recently used results where there are more bytes than `max_bytes`; say how much went."""
        return self._db.write(lambda db: result_cache.prune(db, max_bytes))

    # -- steer -------------------------------------------------------------------------------------------------------

    def pause(self, job_id: JobId) -> bool:
        """Stop a running job: nothing is released, and workers give back what they hold. False: it does not run."""
        return self._changed(
            lambda db: steering.pause(db, job_id), lambda db: reading.state(db, job_id) == JobState.PAUSED
        )

    def resume(self, job_id: JobId, max_failures: int | None = None, max_failure_rate: float | None = None) -> bool:
        """Go on with a job that was paused or needs attention, with other limits where given. False: it is neither."""
        return self._changed(
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

    def events(self, job_id: JobId, after: str | None = None) -> list[JobEvent]:
        """List what happened to a job, oldest first; after the event of this id, or all of it."""
        return self._db.read(lambda db: events_of(db, job_id, after))

    # -- fleet -------------------------------------------------------------------------------------------------------

    def heartbeat(self, row: WorkerRow) -> bool:
        """Write a worker's report of itself, and say whether somebody asked it to drain."""
        return self._db.write(lambda db: fleet.heartbeat(db, row))

    def drain_worker(self, worker_id: WorkerId) -> bool:
        """Ask a worker to finish what it has and to leave; False: no such worker is alive."""
        return self._db.write(lambda db: fleet.drain_worker(db, worker_id))

    def worker_stopped(self, worker_id: WorkerId) -> None:
        """Note that a worker ended by itself."""
        self._db.write(lambda db: fleet.worker_stopped(db, worker_id))

    def workers(self, max_age_s: float = fleet.ALIVE_S) -> list[WorkerRow]:
        """List workers; one that is silent for more than `max_age_s` has the state `lost`."""
        return self._db.read(lambda db: fleet.list_workers(db, max_age_s))

    def queues(self, hardware: str | None = None, tenant: str | None = None) -> list[QueueRow]:
        """Give what waits and runs in each queue, and why; of one hardware class or of all, of one tenant or of all."""
        return self._db.read(lambda db: backlog.list_queues(db, hardware, tenant))

    def autoscale(self, hardware: str) -> AutoscaleFigures:
        """Give how much work a hardware class has, and how many workers."""
        return self._db.read(lambda db: backlog.autoscale(db, hardware))

    def job_counts(self, tenant: str | None = None) -> dict[JobState, int]:
        """Count jobs by state, of one tenant or of all; a state that no job has is missing."""
        return self._db.read(lambda db: backlog.job_counts(db, tenant))

    def report_speed(self, queue: str, seconds_per_item: float) -> None:
        """Mix a measurement of one worker process into a queue's seconds an item."""
        self._db.write(lambda db: backlog.report_speed(db, queue, seconds_per_item))

    def queues_with_work(self, hardware: Sequence[str]) -> list[str]:
        """List the queues of these hardware classes in which shards wait; cheap whatever the backlog."""
        return self._db.read(lambda db: fleet.queues_with_work(db, hardware))

    def quarantine(self, row: QuarantinedMessage) -> None:
        """Keep a message that no worker can read, for people; of many only the newest are kept."""
        self._db.write(lambda db: quarantine.quarantine(db, row))

    def quarantined(self, limit: int = 50) -> list[QuarantinedMessage]:
        """List messages that were set aside, the newest first."""
        return self._db.read(lambda db: quarantine.quarantined(db, limit))

    # -- tokens ------------------------------------------------------------------------------------------------------

    def add_token(self, wish: TokenWish) -> tuple[TokenRow, str]:
        """Make a bearer token and give it, which nobody can do a second time.

        Raises:
            InvalidToken: a name that cannot be, or that the tenant has already.
        """
        token = tokens.mint()
        return self._db.write(lambda db: tokens.add_token(db, wish, tokens.digest(token))), token

    def token_of(self, token: str) -> TokenRow | None:
        """Give whom a bearer token stands for, and note its use; None: unknown, expired or revoked."""
        hashed = tokens.digest(token)
        found = self._db.read(lambda db: tokens.token_of(db, hashed))
        if found is None:
            return None
        row, is_note_due = found
        if is_note_due:
            self._db.write(lambda db: tokens.note_use(db, row.token_id))
        return row

    def tokens(self, tenant: str | None = None) -> list[TokenRow]:
        """List tokens, of one tenant or of all, the newest first."""
        return self._db.read(lambda db: tokens.list_tokens(db, tenant))

    def revoke_token(self, token_id: str) -> bool:
        """Take a token back at once. False: it was before, or there is none of this id."""
        return self._db.write(lambda db: tokens.revoke(db, token_id))

    # -- relay -------------------------------------------------------------------------------------------------------

    def expire_leases(self, max_deaths: int) -> int:
        """Take back the shards of dead workers; split those that lost `max_deaths` of them."""
        return self._db.write(lambda db: relay_statements.expire_leases(db, max_deaths))

    def hints_overdue(self, queues: Collection[str], older_than_s: float) -> bool:
        """Say whether one of these queues has a hint that nobody took for so long."""
        return self._db.read(lambda db: relay_statements.hints_overdue(db, queues, older_than_s))

    def requeue_lost(self, queues: Collection[str], older_than_s: float) -> int:
        """Make old hints of queues that Redis holds empty due again."""
        return self._db.write(lambda db: relay_statements.requeue_lost(db, queues, older_than_s))

    def recall_outranked(self) -> int:
        """Take back hints that stand in Redis before work of a higher priority."""
        return self._db.write(relay_statements.recall_outranked)

    def reroute(self, window: int, grace_s: float) -> int:
        """Move waiting shards to classes that somebody serves, or where workers are idle; give their number."""
        return self._db.write(lambda db: routing.reroute(db, window, grace_s))

    def offer_stragglers(self) -> int:
        """Offer the slow last shards of jobs to idle workers; give their number."""
        return self._db.write(stragglers.offer_stragglers)

    def judge_jobs(self) -> int:
        """Stop running jobs that are over their limits, and end canaries; give the number of both."""
        return self._db.write(lambda db: canary.end_canaries(db) + policy.judge_running(db))

    def retry_openings(self) -> int:
        """Let go of shards that waited for the next try to open their model; give the number of jobs and classes."""
        return self._db.write(openings.retry_due)

    def expire_jobs(self) -> list[JobId]:
        """End jobs whose time is over."""
        return self._db.write(relay_statements.expire_jobs)

    def expire_drafts(self, after_s: float) -> list[JobId]:
        """End drafts to which nothing was added for so long, and that nobody sealed."""
        return self._db.write(lambda db: drafts.expire(db, after_s))

    def hinted_queues(self) -> list[str]:
        """List the queues that should hold hints in Redis."""
        return self._db.read(relay_statements.hinted_queues)

    def forget_hints(self) -> int:
        """Make every hint due again, after Redis lost its memory."""
        return self._db.write(relay_statements.forget_hints)

    def _end_early(self, job_id: JobId, state: JobState, code: str, message: str) -> bool:
        return self._changed(
            lambda db: endings.end_early(db, job_id, state, code, message),
            lambda db: reading.state(db, job_id) == state,
        )

    def _changed(
        self, change: Callable[[Connection], bool], holds: Callable[[Connection], bool] = lambda _: True
    ) -> bool:
        """Say whether this call changed something.

        A COMMIT may go through and its reply be lost: then the next try finds the work done, and the answer is that of
        the try before, if what it made so `holds`.
        """
        answers: list[bool] = []

        def once(db: Connection) -> bool:
            answers.append(change(db))
            return answers[-1] or (any(answers) and holds(db))

        return self._db.write(once)

    def _page(
        self, job_id: JobId, states: Collection[OutcomeState], after: tuple[int, int], limit: int
    ) -> list[ResultRow]:
        return self._db.read(lambda db: reading.result_page(db, job_id, states, after, limit))
