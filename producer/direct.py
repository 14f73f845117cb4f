"""The gateway of a machine that reaches the job store: every operation is one of the store's, and a hint to Redis."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

from jobstore.aftercare import SHELF
from jobstore.dispatch import Doorbell, MuteDoorbell
from jobstore.errors import BrokerUnavailable, InvalidJob
from jobstore.outbox import DeliveryState
from jobstore.queues import queue_name
from jobstore.schema import SETTLED_STATES, DecisionRow, ItemRef, JobId, JobSpec, JobState, OutcomeState, WorkerRow
from jobstore.store import JobStore
from jobstore.submit import request_hash
from jobstore.views import FailureGroup, JobEvent, JobStatus, QueueRow, ResultRow
from producer.answers import DeliveryAnswer, GatesAnswer
from producer.deliveries import told
from producer.ending import words_of_timeout
from producer.errors import JobTimeout
from producer.explaining import explain, meant_machine
from producer.gateway import RESULTS_A_PAGE, Explanation
from producer.request import AUTO, classes_of
from producer.verdicts import gates_of

logger = logging.getLogger(__name__)

#: Seconds between two looks at a job whose end may have been announced to nobody.
_LOOK_S = 1.0
#: Hints that a queue holds in Redis at most; the same figure as a worker machine's default.
WINDOW = 32


class Direct:
    """Everything that a submitter does, on the store; needs no model runtime. Threads may share it."""

    interval_s = 0.2

    def __init__(self, store: JobStore, doorbell: Doorbell, window: int = WINDOW) -> None:
        self._store, self._doorbell, self._window = store, doorbell, window

    @classmethod
    def connect(cls, database_url: str, broker_url: str) -> Self:
        """A gateway to a fleet's database and Redis; nothing is connected until it is used."""
        return cls(JobStore.open(database_url), Doorbell(broker_url))

    def carry(self, items: Iterable[ItemRef]) -> Iterator[ItemRef]:
        """The items as they are: workers read them where they lie."""
        return iter(items)

    def submit(self, spec: JobSpec, items: Iterable[ItemRef]) -> JobId:
        """Accept a job: once this returns an id, the job is safe, whatever happens to Redis.

        Args:
            items: for example `producer.sources.expand(...)`; a generator of a million is fine.

        Raises:
            InvalidJob: no items, or a field that cannot be.
            SourceInvalid: from `items`; nothing is accepted then.
            StoreUnavailable: nothing was accepted, unless a second submit with the same `client_token` says so.
        """
        spec = self._placed(spec)
        job_id = self._store.add_job(spec, items, lambda hardware: queue_name(hardware, spec.model))
        queue = queue_name(spec.hardware[0], spec.model)
        if spec.priority > 0:
            self._store.relay.recall_outranked()
        self._ring(job_id, queue)
        return job_id

    def create_draft(self, spec: JobSpec) -> JobId:
        """Accept a job whose items follow; nothing runs before it is sealed."""
        return self._store.drafts.create(self._placed(spec))

    def append_items(self, job_id: JobId, items: Iterable[ItemRef], *, part_token: str) -> int:
        """Add items to a draft and give their number; a second call with the same token adds nothing."""
        return self._store.drafts.append(job_id, items, part_token=part_token)

    def seal(self, job_id: JobId) -> bool:
        """Let a draft run; it takes no more items. False: it was sealed before."""
        is_changed = self._store.drafts.seal(job_id)
        self._ring(job_id)
        return is_changed

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
                    raise JobTimeout(words_of_timeout(status), status, self._store.failures(job_id))
                wait_for_news(left)
        return self._store.status(job_id)

    def why_waiting(self, job_id: JobId) -> str | None:
        """Why a running job does not move. None: it may move."""
        return self._store.why_waiting(job_id)

    def events(self, job_id: JobId) -> list[JobEvent]:
        """What happened to the job, oldest first."""
        return self._store.events(job_id)

    def results(
        self, job_id: JobId, *, states: Collection[OutcomeState] = (), batch: int = RESULTS_A_PAGE
    ) -> Iterator[ResultRow]:
        """Outcomes in the order of the items; also while the job runs."""
        return self._store.results(job_id, states=states, batch=batch)

    def failures(self, job_id: JobId) -> list[FailureGroup]:
        """Failed items, grouped by cause."""
        return self._store.failures(job_id)

    def decisions(self, job_id: JobId) -> list[DecisionRow]:
        """Why which backend ran, one row a worker process."""
        return self._store.decisions(job_id)

    def webhooks(
        self, job_id: JobId, *, states: Collection[DeliveryState] = (), limit: int = 50
    ) -> list[DeliveryAnswer]:
        """Messages about the job, the newest first."""
        self._store.state(job_id)
        found = self._store.outbox.list(job_id=job_id, states=tuple(states), limit=limit)
        return [told(each) for each in found]

    def resend(self, delivery_id: str) -> bool:
        """Send a message now that no receiver took. False: one took it."""
        return self._store.outbox.resend(delivery_id)

    def gates(self, job_id: JobId) -> GatesAnswer:
        """What the job's gates say of it, and the figures that they judged."""
        return gates_of(self._store, job_id)

    def accept_gates(self, job_id: JobId) -> bool:
        """Take a run that failed its gates for a good one: later runs are held against it. False: it did not fail."""
        return self._store.verdicts.accept(job_id)

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

    def retry(
        self,
        job_id: JobId,
        *,
        states: Collection[OutcomeState] = (OutcomeState.FAILED,),
        codes: Collection[str] = (),
        batch_size: int | None = None,
        hardware: Sequence[str] = (),
    ) -> int:
        """Run items of the job again, in the same job, and give their number."""
        number = self._store.retry(job_id, states=states, codes=codes, batch_size=batch_size, hardware=hardware)
        self._ring(job_id)
        return number

    def queues(self, hardware: str | None = None) -> list[QueueRow]:
        """What waits and runs in each queue, of one hardware class or of all, and why it waits."""
        return self._store.fleet.queues(hardware)

    def workers(self) -> list[WorkerRow]:
        """Workers; one that is silent has the state `lost`."""
        return self._store.fleet.workers()

    def explain(self, model: str, hardware: str, wishes: Mapping[str, Any], *, assume: bool = False) -> Explanation:
        """Which backend would run a model on the fleet's machines of a class.

        Raises:
            ExplainUnavailable: the engine is not installed here.
            MachineUnknown: no worker of the class ever reported its machine.
        """
        return explain(model, meant_machine(self._store.fleet, hardware, assume=assume), wishes)

    def is_silent(self) -> bool:
        """Whether no Redis is configured or runs here."""
        return isinstance(self._doorbell, MuteDoorbell)

    def close(self) -> None:
        """Give the connections back."""
        self._doorbell.close()
        self._store.close()

    def _placed(self, spec: JobSpec) -> JobSpec:
        """Give a job its hardware; asked for again, it is the same request, whoever works by then.

        Raises:
            InvalidJob: its exports have no destination, which only a server has a folder for.
        """
        if spec.output is not None and spec.output.dest == SHELF:
            raise InvalidJob("output has no dest; expected a folder or s3://bucket/prefix: only a server keeps exports")
        if spec.hardware != AUTO:
            return spec
        served = classes_of(AUTO, self._store.fleet.workers())
        return dataclasses.replace(spec, hardware=served, request_hash=request_hash(spec))

    def _ring(self, job_id: JobId, queue: str | None = None) -> None:
        """Send what is due; what Redis does not take now, the relay sends."""
        try:
            hints = self._store.release(self._window, queue)
            self._doorbell.ring(hints)
        except BrokerUnavailable as error:
            logger.warning("job %s is safe; its hints go out when Redis is back: %s", job_id, error)
        else:
            if hints:
                self._doorbell.announce_work()
