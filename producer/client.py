"""`Producer`: submit jobs and follow them, on this machine, on its fleet, or through a server."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Self, Unpack

from jobstore.errors import InvalidJob
from producer.drafting import Draft
from producer.errors import ExplainUnavailable, NobodyWorksWarning
from producer.job import Job
from producer.opening import open_gateway
from producer.request import AUTO, JobOptions, items_of, spec_of
from producer.sources import SourceReport

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Mapping
    from types import TracebackType
    from typing import Any

    from jobstore.schema import ItemRef, JobSpec, JobState, WorkerRow
    from jobstore.views import QueueRow
    from producer.gateway import Explanation, Gateway
    from producer.sending import Files
    from producer.sources import Source


class Producer:
    """Everything that a submitter does; needs no model runtime. Threads may share it.

    Args:
        url: of a server, such as `http://host:8000`; None: the server, fleet or data folder that this machine's
            settings name (docs/python.md).
        token: the server's; None: that of the settings.
        files: what becomes of files of this machine where a server is asked: `send`, `refuse`, or `shared`, which
            leaves their paths as they are.

    Raises:
        SettingInvalid, SchemaOutdated, StoreUnavailable.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, files: Files = "send") -> None:
        self.gateway = open_gateway(url, token, files=files)

    @classmethod
    def over(cls, gateway: Gateway) -> Self:
        """Give a producer over a gateway that is open."""
        made = cls.__new__(cls)
        made.gateway = gateway
        return made

    def submit(
        self,
        model: str | os.PathLike[str],
        sources: Source | ItemRef | Iterable[Source | ItemRef],
        **options: Unpack[JobOptions],
    ) -> Job:
        """Hand over a job: once this returns, the work is safe.

        Args:
            model: a model id, or the path of a package folder or weights file.
            sources: paths, patterns, manifests and URIs, one or many, or an iterator of `ItemRef`.
            options: see `producer.request.JobOptions`.

        Raises:
            InvalidJob, SourceInvalid: nothing was accepted.
            UploadRefused: a file would have to be sent to the server.
            StoreUnavailable, ServerUnavailable: nothing was accepted, unless another submit with the same
                `idempotency_key` says so; what can be tried again was.
        """
        return self.accept(self.spec(model, options), items_of(sources, options, SourceReport()))

    def draft(self, model: str | os.PathLike[str], **options: Unpack[JobOptions]) -> Draft:
        """Begin a job whose items come part by part: `with producer.draft(...) as draft: draft.add([...])`.

        Raises:
            InvalidJob: nothing was accepted.
        """
        job = Job(self.gateway.create_draft(self.spec(model, options)), self.gateway)
        return Draft(job, options)

    def accept(self, spec: JobSpec, items: Iterable[ItemRef]) -> Job:
        """Hand over a job that is ready; what `submit` does after its checks."""
        job = Job(self.gateway.submit(spec, self.gateway.carry(items)), self.gateway)
        self._warn_of_silence(job)
        return job

    def spec(self, model: str | os.PathLike[str], options: JobOptions) -> JobSpec:
        """Give the job that is asked for, checked as far as it can be here.

        Raises:
            InvalidJob.
        """
        spec = spec_of(model, options)
        if (task := options.get("task")) is not None:
            self._check_task(spec, task)
        return spec

    def job(self, text: str) -> Job:
        """Give a job by its id, or by at least four characters of its beginning or end."""
        return Job(self.gateway.find(text), self.gateway)

    def jobs(
        self, *, states: Collection[JobState | str] = (), limit: int = 50, since: float | None = None
    ) -> list[Job]:
        """List jobs, the newest first.

        Args:
            states: only those; empty: all.
            since: the oldest creation time, seconds since the epoch.
        """
        from jobstore.schema import JobState

        wanted = [JobState(state) for state in states]
        return [Job(row.job_id, self.gateway) for row in self.gateway.jobs(states=wanted, limit=limit, since=since)]

    def explain(
        self,
        model: str | os.PathLike[str],
        hardware: str = "auto",
        wishes: Mapping[str, Any] | None = None,
        *,
        assume: bool = False,
    ) -> Explanation:
        """Say which backend would run a model on the fleet's machines of a class, and why not the others.

        Args:
            hardware: `auto` is the best class that a worker serves, or else the machine that answers.
            wishes: as a job's.
            assume: of a class that no worker ever reported, assume what its name implies.

        Raises:
            MachineUnknown: no worker of the class ever reported its machine.
            ExplainUnavailable: the engine is not installed where this is asked.
        """
        from producer.request import model_reference

        return self.gateway.explain(model_reference(model), hardware, wishes or {}, assume=assume)

    def queues(self, hardware: str | None = None) -> list[QueueRow]:
        """Give what waits and runs in each queue, and why it waits."""
        return self.gateway.queues(hardware)

    def workers(self) -> list[WorkerRow]:
        """List workers; one that is silent has the state `lost`."""
        return self.gateway.workers()

    def close(self) -> None:
        """Give the connections back."""
        self.gateway.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _check_task(self, spec: JobSpec, task: str) -> None:
        """Refuse a model of another task where somebody can tell."""
        try:
            found = self.gateway.explain(spec.model, AUTO[0], spec.wishes).task
        except ExplainUnavailable as error:
            raise InvalidJob(f"task {task!r} cannot be checked: {error}; or leave `task` out") from error
        if found is not None and found != task and not found.endswith(f"-{task}"):
            raise InvalidJob(f"model {spec.model} does {found}, and the job asks for {task}: take another model")

    def _warn_of_silence(self, job: Job) -> None:
        """Say on a machine without a fleet that nobody will begin with the job by himself."""
        if self.gateway.is_silent():
            warnings.warn(
                f"job {job.id} is kept, but nothing works on this machine: `nightshift up` in a terminal begins it, "
                "or name a server (NIGHTSHIFT_API_URL) or a fleet (NIGHTSHIFT_BROKER_URL, NIGHTSHIFT_DATABASE_URL)",
                NobodyWorksWarning,
                stacklevel=3,
            )
