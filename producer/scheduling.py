"""Runs of schedules that are due become jobs: any number of submitters, one job for each time."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fetching.policy import is_remote
from jobstore.errors import JobStoreError
from producer.claims import kept
from producer.errors import ProducerError
from producer.jobfile import parse_job
from producer.request import classes_of
from producer.sources import SourceOptions, expand
from producer.sources.checking import path_of

if TYPE_CHECKING:
    from jobstore.schedule_runs import RunClaim
    from jobstore.schema import JobId
    from jobstore.store import JobStore
    from producer.direct import Direct

logger = logging.getLogger(__name__)

#: Seconds until a submit that failed for a reason that may pass is tried again: doubled with each try.
_FIRST_RETRY_S = 30.0
_NOT_LITERAL = re.compile(r"[*?\[{]")


def literal_sources(job: Mapping[str, Any]) -> Iterator[str]:
    """Give how what a schedule labels begins, up to the first pattern or date in it; its job as the store keeps it."""
    for uri in parse_job(dict(job), "a schedule").source.uri:
        scheme, mark, rest = uri.partition("://")
        yield _NOT_LITERAL.split(f"{scheme.lower()}{mark}{rest}" if is_remote(uri) else path_of(uri))[0]


@dataclass(frozen=True, slots=True)
class Scheduler:
    """Submits what is due.

    Attributes:
        owner: names this process in claims.
        options: the rules within which sources are read.
        lease_s: seconds after which others take over from a submitter that is not heard of.
    """

    store: JobStore
    gateway: Direct
    owner: str
    options: SourceOptions = field(default_factory=SourceOptions)
    lease_s: float = 60.0

    def submit_due(self) -> int:
        """Submit every run that is due and free; give the number of jobs.

        Raises:
            StoreUnavailable: what was claimed is tried again by whoever comes first.
        """
        self.store.schedules.look()
        submitted = 0
        while (claim := self.store.schedules.claim(self.owner, self.lease_s)) is not None:
            submitted += self._submit(claim)
        return submitted

    def _submit(self, claim: RunClaim) -> bool:
        try:
            with kept(lambda: self.store.schedules.renew(claim, self.lease_s), self.lease_s):
                job_id = self._job(claim)
        except (ProducerError, JobStoreError) as error:
            retry_s = _FIRST_RETRY_S * 2 ** (claim.tries - 1) if error.retryable else None
            self._fail(claim, str(error), retry_s)
            return False
        except Exception as error:
            # Whatever it is must not stop the other schedules; the run's list of tries ends it.
            logger.exception("schedule %s cannot be submitted", claim.name, extra={"event": "schedule_failed"})
            self._fail(claim, f"{type(error).__name__}: {error}", _FIRST_RETRY_S * 2 ** (claim.tries - 1))
            return False
        said = {"event": "schedule_submitted", "job_id": job_id, "schedule": claim.name}
        logger.info("schedule %s: job %s", claim.name, job_id, extra=said)
        return self.store.schedules.submitted(claim, job_id)

    def _job(self, claim: RunClaim) -> JobId:
        job = parse_job(claim.job, f"schedule {claim.name}")
        zone = job.schedule.timezone if job.schedule is not None else "UTC"
        request = job.request(datetime.fromtimestamp(claim.due, ZoneInfo(zone)))
        spec = request.spec(
            classes_of(request.hardware, self.store.fleet.workers()),
            tenant=claim.tenant,
            client_token=claim.client_token,
            schedule_id=claim.schedule_id,
        )
        return self.gateway.submit(spec, expand(request.sources, request.source_options(self.options)))

    def _fail(self, claim: RunClaim, message: str, retry_s: float | None) -> None:
        said = {"event": "schedule_not_submitted", "schedule": claim.name}
        logger.warning("schedule %s: %s", claim.name, message, extra=said)
        self.store.schedules.failed(claim, message, retry_s)
