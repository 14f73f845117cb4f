"""Everything the producer raises on purpose.

* ProducerError
  x SourceInvalid         what is to be labelled cannot be listed: nothing was submitted, correct it and submit again
    x SourceNotFound      no such path, and no pattern
    x SourceEmpty         the source holds nothing that is taken
    x SourceUnreadable    the path is there and the system does not let us read it
    x SourceUnsupported   a URI scheme that no worker reads
    x SourceDenied        this installation does not read that path, host or bucket, or the URI holds credentials
    o SourceUnavailable   a remote list or listing does not come now
    x ManifestInvalid     one line of a manifest is wrong; the message names file and line
  x JobFileInvalid        a job file cannot be read as one; the message names file and line
  x WebhookSecretMissing  the secret that signs a webhook is not set where it is sent, or is none
  x JobEnding             waiting for a job is over
    x JobTimeout          it has not ended in time: it goes on, wait again
    x JobFailed           it did not end well, or stopped: its causes are in `failures`
  x SettingInvalid        nightshift.toml cannot be read, or a setting in it is of the wrong kind
  x ServerRefused         the server does not take the request: its code and words
    x TokenRefused        the token is missing, unknown, or may not do this
  x ServerUnavailable     the server does not answer: the same call again
  x UploadRefused         a file of this machine would have to be sent to the server, and must not be
  x PresignUnavailable    uploads of the server go to a folder, to which nobody else can send
  x FilterInvalid         a `where` expression cannot be read
  x RecordUnsuitable      a record has no boxes, or nothing that supervision has a type for
  x ExplainUnavailable    nothing here can explain a model
  x MachineUnknown        no worker of the class that a model is to be explained for has told its machine
  x FormatUnknown         no exporter has this name
  x FormatUnsuitable      the format has no place for what the job's records hold
  x ExportOptionInvalid   an option of the export cannot be: a class that the model has not, an address that is none
  x MissingExtra          what was asked for needs a library of an extra; the message has the command that installs it
  x ExportFailed          the export could not be written; nothing of it is visible
  x JudgingFailed         what a job gave cannot be judged: the message says what to give instead
    x TruthInvalid        the labelled data are damaged, or do not fit the job's pictures and classes
    x NotComparable       two jobs have no pictures in common, or records of tasks that cannot be compared
    x CapsuleInvalid      a run capsule is damaged, or of another version

o: the same call may work later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobstore.views import FailureGroup, JobStatus


class ProducerError(Exception):
    """Base class. `code` is stable and stored; `retryable` says whether the same call may work later."""

    code: ClassVar[str] = "producer"
    retryable: ClassVar[bool] = False


class SourceInvalid(ProducerError):
    """What is to be labelled cannot be listed."""

    code = "source_invalid"


class SourceNotFound(SourceInvalid):
    """No such path, and no pattern."""

    code = "source_not_found"


class SourceEmpty(SourceInvalid):
    """The source holds nothing that is taken."""

    code = "source_empty"


class SourceUnreadable(SourceInvalid):
    """The path is there, but the system does not let us read it."""

    code = "source_unreadable"


class SourceUnsupported(SourceInvalid):
    """A kind of source that is not taken."""

    code = "source_unsupported"


class SourceDenied(SourceInvalid):
    """This installation does not read that path, host or bucket, or the URI holds credentials."""

    code = "source_denied"


class SourceUnavailable(SourceInvalid):
    """A remote list or listing does not come now."""

    code = "source_unavailable"
    retryable = True


class ManifestInvalid(SourceInvalid):
    """One line of a manifest is wrong."""

    code = "manifest_invalid"

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}")
        self.path = path
        self.line = line


class JobFileInvalid(ProducerError):
    """A job file cannot be read as one."""

    code = "job_file_invalid"


class WebhookSecretMissing(ProducerError):
    """The secret that signs a webhook is not set where it is sent, or is none."""

    code = "webhook_secret_missing"


class JobEnding(ProducerError):
    """Waiting for a job is over, and the job did not end well.

    Attributes:
        status: the job at this moment.
        failures: failed items by cause.
    """

    code = "job_ending"

    def __init__(self, message: str, status: JobStatus, failures: Sequence[FailureGroup] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.failures = tuple(failures)


class JobTimeout(JobEnding):
    """The job has not ended in time; it goes on, and a later wait may see its end."""

    code = "job_timeout"
    retryable = True


class JobFailed(JobEnding):
    """The job failed, was cancelled, expired, needs attention, or ended over its failure limit."""

    code = "job_failed"


class SettingInvalid(ProducerError):
    """A setting of this machine that a producer needs cannot be."""

    code = "setting_invalid"


class ServerRefused(ProducerError):
    """The server does not take the request."""

    code = "server_refused"


class TokenRefused(ServerRefused):
    """The token is missing, unknown, or may not do this."""

    code = "token_refused"


class ServerUnavailable(ProducerError):
    """The server does not answer."""

    code = "server_unavailable"
    retryable = True


class UploadRefused(ProducerError):
    """A file of this machine would have to be sent to the server, and must not be."""

    code = "upload_refused"


class PresignUnavailable(ProducerError):
    """Uploads go to a folder of the server, to which nobody else can send."""

    code = "presign_unavailable"


class FilterInvalid(ProducerError):
    """A `where` expression cannot be read."""

    code = "filter_invalid"


class RecordUnsuitable(ProducerError):
    """The record has no boxes, or nothing that supervision has a type for."""

    code = "record_unsuitable"


class ExplainUnavailable(ProducerError):
    """Nothing here can explain a model."""

    code = "explain_unavailable"


class MachineUnknown(ProducerError):
    """No worker of the class has told what machine it runs on, so nobody can say what a model would do there."""

    code = "machine_unknown"


class NobodyWorksWarning(UserWarning):
    """A job was accepted on a machine on which nothing works on jobs."""


class FormatUnknown(ProducerError):
    """No exporter has this name."""

    code = "format_unknown"


class FormatUnsuitable(ProducerError):
    """The format has no place for what the job's records hold; nothing was written."""

    code = "format_unsuitable"


class ExportOptionInvalid(ProducerError):
    """An option of the export cannot be; nothing was written."""

    code = "export_option_invalid"


class MissingExtra(ProducerError):
    """What was asked for needs a library that is only in an extra; nothing was written."""

    code = "missing_extra"


class DestinationDenied(ProducerError):
    """The operator of the server does not let this tenant's exports be written there."""

    code = "destination_denied"


class ExportFailed(ProducerError):
    """The export could not be written; nothing of it is visible."""

    code = "export_failed"
    retryable = True


class PruneFailed(ProducerError):
    """Old files of a server cannot be listed or removed; some may be gone."""

    code = "prune_failed"
    retryable = True


class JudgingFailed(ProducerError):
    """What a job gave cannot be judged."""

    code = "judging_failed"


class TruthInvalid(JudgingFailed):
    """The labelled data are damaged, or do not fit the job's pictures and classes."""

    code = "truth_invalid"


class NotComparable(JudgingFailed):
    """Two jobs have no pictures in common, or records of tasks that cannot be compared."""

    code = "not_comparable"


class CapsuleInvalid(JudgingFailed):
    """A run capsule is damaged, or of a version that is not read here."""

    code = "capsule_invalid"
