"""Everything the job store raises on purpose.

* JobStoreError
  x JobNotFound            no such job for this tenant: look at `nightshift jobs`
  x ScheduleNotFound       no such schedule for this tenant: look at `nightshift schedule ls`
  x ExportNotFound         no such export for this tenant: look at the job
  x DeliveryNotFound       no such message of a webhook for this tenant: look at `nightshift notify ls`
  x InvalidSchedule        the schedule asks for something that cannot be
  x InvalidJob             the job asks for something that cannot be
  x InvalidToken           a token's name, tenant or life cannot be
  x ClientTokenReused      another request has this client token: give this one a token of its own
  x LeaseLost              the shard is somebody else's by now: drop the work, it is done again or done already
  x StoreUnavailable       the database does not answer: wait, then the same call again
  x SchemaOutdated         the database was made by another version: `nightshift db upgrade`
  x BrokerUnavailable      Redis does not answer: accepted jobs are safe, hints follow later
"""

from __future__ import annotations

from typing import ClassVar


class JobStoreError(Exception):
    """Base class. `code` is stable and stored; `retryable` says whether the same call may work later."""

    code: ClassVar[str] = "jobstore"
    retryable: ClassVar[bool] = False


class JobNotFound(JobStoreError):
    """No job has this id or unique id prefix."""

    code = "job_not_found"


class ScheduleNotFound(JobStoreError):
    """No schedule of this tenant has this name."""

    code = "schedule_not_found"


class ExportNotFound(JobStoreError):
    """No export of this tenant has this id."""

    code = "export_not_found"


class DeliveryNotFound(JobStoreError):
    """No message of a webhook of this tenant has this id."""

    code = "delivery_not_found"


class InvalidSchedule(JobStoreError):
    """The schedule asks for something that cannot be."""

    code = "invalid_schedule"


class InvalidJob(JobStoreError):
    """The job asks for something that cannot be."""

    code = "invalid_job"


class InvalidToken(JobStoreError):
    """A token's name, tenant or life cannot be."""

    code = "invalid_token"


class ClientTokenReused(JobStoreError):
    """Another request was accepted with this client token; this one was not, and nothing was changed."""

    code = "client_token_reused"


class LeaseLost(JobStoreError):
    """The shard was given to another worker or ended; nothing was written."""

    code = "lease_lost"


class StoreUnavailable(JobStoreError):
    """The database does not answer."""

    code = "store_unavailable"
    retryable = True


class SchemaOutdated(JobStoreError):
    """The database's schema is not the one that this version works with."""

    code = "schema_outdated"


class BrokerUnavailable(JobStoreError):
    """Redis does not answer; what was accepted is safe in SQL and its hints are sent later."""

    code = "broker_unavailable"
    retryable = True
