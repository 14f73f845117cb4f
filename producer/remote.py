"""The gateway to a server: every operation is a request of its HTTP interface, in the form of `producer.wire`."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx

from jobstore.schema import DecisionRow, OutcomeState, WorkerRow
from jobstore.views import FailureGroup, ItemRow, JobEvent, JobStatus, QueueRow, ResultRow
from producer.answers import Appended, DeliveryAnswer, GatesAnswer, Page, Resent
from producer.calling import Caller
from producer.ending import words_of_timeout
from producer.errors import JobTimeout, ServerUnavailable
from producer.gateway import RESULTS_A_PAGE, Explanation
from producer.sending import Sender, as_here
from producer.watching import watch
from producer.wire import DraftBody, JobBody, PriorityBody, ResumeBody, RetryBody, decode, encode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jobstore.outbox import DeliveryState
    from jobstore.schema import ItemRef, JobId, JobSpec, JobState
    from producer.sending import Files

T = TypeVar("T")
_MOST_A_PAGE = 500
#: Items of one request: with long names about a megabyte, a quarter of what a server takes by default.
_ITEMS_A_PART = 2_000
_EXAMPLES = 3
#: Times in a row that a stream may break off without a new row.
_TRIES = 5


class Remote:
    """A server as a gateway. Threads may share it.

    Args:
        url: such as `http://host:8000`; `/v1` is added.
        token: shown as a bearer token; None: the server needs none.
        files: what becomes of items that are files here, see `producer.sending`.
        patience_s: how long a request that nobody answers is repeated, if it may be.

    Raises:
        SettingInvalid: no http or https address.
    """

    interval_s = 1.0

    def __init__(self, url: str, token: str | None, *, files: Files = "send", patience_s: float = 30.0) -> None:
        self._caller = Caller(url, token, patience_s)
        self._sender = Sender(self._caller, files)

    def carry(self, items: Iterable[ItemRef]) -> Iterator[ItemRef]:
        """The items, with the files of this machine that are among them sent to the server first."""
        return self._sender.carry(items)

    def submit(self, spec: JobSpec, items: Iterable[ItemRef]) -> JobId:
        """Accept a job; repeated with the spec's client token until somebody answers, it is one job."""
        body = encode(JobBody.of(spec, items=list(items)))
        headers = {"Idempotency-Key": spec.client_token or ""}
        content = self._caller.ask("POST", "jobs", body=body, headers=headers, is_repeatable=bool(spec.client_token))
        return decode(content, JobStatus).job_id

    def create_draft(self, spec: JobSpec) -> JobId:
        """Accept a job whose items follow; nothing runs before it is sealed."""
        headers = {"Idempotency-Key": spec.client_token or ""}
        body = encode(DraftBody.of(spec))
        content = self._caller.ask("POST", "drafts", body=body, headers=headers, is_repeatable=bool(spec.client_token))
        return decode(content, JobStatus).job_id

    def append_items(self, job_id: JobId, items: Iterable[ItemRef], *, part_token: str) -> int:
        """Add items to a draft and give their number, a few thousand a request; the same token adds nothing again."""
        left, number = iter(items), 0
        for part in itertools.count():
            chunk = list(itertools.islice(left, _ITEMS_A_PART))
            if not chunk:
                return number
            body = encode({"items": chunk, "part_token": f"{part_token}:{part}"})
            content = self._caller.ask("POST", f"jobs/{job_id}:append", body=body, is_repeatable=True)
            number += decode(content, Appended).items
        raise AssertionError  # a count has no end

    def seal(self, job_id: JobId) -> bool:
        """Let a draft run; it takes no more items. False: it was sealed before."""
        return self._act(job_id, "seal")

    def find(self, text: str) -> JobId:
        """A job's full id, from a unique part of it."""
        return decode(self._caller.ask("GET", f"jobs/{quote(text, safe='')}"), JobStatus).job_id

    def status(self, job_id: JobId) -> JobStatus:
        """The job's state and counters now."""
        return decode(self._caller.ask("GET", f"jobs/{job_id}"), JobStatus)

    def jobs(
        self, *, states: Collection[JobState] = (), limit: int = 50, since: float | None = None
    ) -> list[JobStatus]:
        """Jobs, the newest first."""
        asked = {"state": sorted(states)} | ({} if since is None else {"since": since})
        return self._list("jobs", JobStatus, asked, limit)

    def wait(self, job_id: JobId, timeout_s: float | None = None) -> JobStatus:
        """Wait until the job has ended, or needs attention.

        Raises:
            JobTimeout: it has not in time; it goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        pause = self.interval_s if timeout_s is None else min(self.interval_s, max(0.01, timeout_s / 2))
        for status in watch(self, job_id, pause):
            if not status.is_settled and deadline is not None and time.monotonic() >= deadline:
                raise JobTimeout(words_of_timeout(status), status, self.failures(job_id))
        return status

    def why_waiting(self, job_id: JobId) -> str | None:
        """Why a running job does not move. None: it may move."""
        found: str | None = decode(self._caller.ask("GET", f"jobs/{job_id}"), dict[str, Any])["waiting"]
        return found

    def events(self, job_id: JobId) -> list[JobEvent]:
        """What happened to the job, oldest first: the stream's beginning, up to the job's figures."""
        found: list[JobEvent] = []
        kind = ""
        with self._caller.stream(f"jobs/{job_id}/events") as lines:
            for line in lines:
                name, _, value = line.partition(": ")
                kind = value if name == "event" else kind
                if name == "data" and kind != "event":
                    return found
                if name == "data":
                    found.append(decode(value, JobEvent))
        return found

    def results(
        self,
        job_id: JobId,
        *,
        states: Collection[OutcomeState] = (),
        batch: int = RESULTS_A_PAGE,  # noqa: ARG002 - the server streams
    ) -> Iterator[ResultRow]:
        """Outcomes in the order of the items; a stream that breaks off is taken up where it ended.

        Raises:
            ServerUnavailable: it broke off again and again.
        """
        last, tries = (-1, 0), 0
        while True:
            try:
                with self._caller.stream(f"jobs/{job_id}/results", {"state": sorted(states)}) as lines:
                    for line in lines:
                        row = decode(line, ResultRow)
                        if (row.idx, row.frame) > last:
                            last, tries = (row.idx, row.frame), 0
                            yield as_here(row)
            except (httpx.TransportError, ValueError) as error:  # cut off, perhaps in the middle of a line
                tries += 1
                if tries > _TRIES:
                    raise ServerUnavailable(f"the results broke off {tries} times: {error}") from error
            else:
                return

    def failures(self, job_id: JobId) -> list[FailureGroup]:
        """Failed items, grouped by cause; examples by their names here."""
        groups = self._list(f"jobs/{job_id}/failures", FailureGroup)
        return [replace(group, examples=self._examples(job_id, group)) for group in groups]

    def _examples(self, job_id: JobId, group: FailureGroup) -> tuple[str, ...]:
        rows = self._list(f"jobs/{job_id}/items", ItemRow, {"state": "failed", "cause": group.code}, _EXAMPLES)
        return tuple(as_here(row).uri for row in rows) or group.examples

    def decisions(self, job_id: JobId) -> list[DecisionRow]:
        """Why which backend ran, one row a worker process."""
        return self._list(f"jobs/{job_id}/decisions", DecisionRow)

    def webhooks(
        self, job_id: JobId, *, states: Collection[DeliveryState] = (), limit: int = 50
    ) -> list[DeliveryAnswer]:
        """Messages about the job, the newest first."""
        return self._list(f"jobs/{job_id}/webhooks", DeliveryAnswer, {"state": sorted(states)}, limit)

    def resend(self, delivery_id: str) -> bool:
        """Send a message now that no receiver took. False: one took it."""
        content = self._caller.ask("POST", f"webhooks/{quote(delivery_id, safe='')}:retry")
        return decode(content, Resent).is_changed

    def gates(self, job_id: JobId) -> GatesAnswer:
        """What the job's gates say of it, and the figures that they judged."""
        return decode(self._caller.ask("GET", f"jobs/{job_id}/gates"), GatesAnswer)

    def accept_gates(self, job_id: JobId) -> bool:
        """Take a run that failed its gates for a good one: later runs are held against it. False: it did not fail."""
        return self._act(f"{job_id}/gates", "accept")

    def pause(self, job_id: JobId) -> bool:
        """Stop the job until it is resumed. False: it does not run."""
        return self._act(job_id, "pause")

    def resume(self, job_id: JobId, max_failures: int | None = None, max_failure_rate: float | None = None) -> bool:
        """Go on with a stopped job, with new limits where they are given. False: it is not stopped."""
        return self._act(job_id, "resume", ResumeBody(max_failures=max_failures, max_failure_rate=max_failure_rate))

    def reprioritise(self, job_id: JobId, priority: int) -> bool:
        """Give the job another priority, higher first. False: it has ended."""
        return self._act(job_id, "priority", PriorityBody(priority=priority))

    def cancel(self, job_id: JobId) -> bool:
        """End the job; what has no outcome yet is skipped. False: it had ended before."""
        return self._act(job_id, "cancel")

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
        asked = {"states": sorted(states), "causes": sorted(codes), "batch_size": batch_size, "hardware": hardware}
        body = encode(decode(encode(asked), RetryBody))
        found = decode(self._caller.ask("POST", f"jobs/{job_id}:retry", body=body), dict[str, Any])
        return int(found["items"])

    def queues(self, hardware: str | None = None) -> list[QueueRow]:
        """What waits and runs in each queue, and why it waits."""
        return self._list("queues", QueueRow, {} if hardware is None else {"hardware": hardware})

    def workers(self) -> list[WorkerRow]:
        """Workers; one that is silent has the state `lost`. Needs an operator's token."""
        return self._list("workers", WorkerRow)

    def explain(self, model: str, hardware: str, wishes: Mapping[str, Any], *, assume: bool = False) -> Explanation:
        """Which backend would run a model on the fleet's machines of a class."""
        asked = {"hardware": hardware} | ({"wishes": encode(wishes).decode()} if wishes else {})
        asked |= {"assume": "true"} if assume else {}
        return decode(self._caller.ask("GET", f"models/{quote(model)}/explain", params=asked), Explanation)

    def is_silent(self) -> bool:
        """A server has its own workers."""
        return False

    def close(self) -> None:
        """Give the connections back."""
        self._caller.close()

    def _act(self, job: str, verb: str, body: Any = None) -> bool:
        content = self._caller.ask("POST", f"jobs/{job}:{verb}", body=None if body is None else encode(body))
        return bool(decode(content, dict[str, Any])["is_changed"])

    def _list(
        self, place: str, kind: type[T], params: Mapping[str, Any] | None = None, most: int | None = None
    ) -> list[T]:
        """Give a list, page after page; `most` rows at most, where the server takes a limit."""
        found: list[T] = []
        asked = dict(params or {})
        while True:
            if most is not None:
                asked["limit"] = min(_MOST_A_PAGE, most - len(found))
            page = decode(self._caller.ask("GET", place, params=asked), Page[kind])  # type: ignore[valid-type]
            found += page.data
            if page.next is None or (most is not None and len(found) >= most):
                return found
            asked["cursor"] = page.next
