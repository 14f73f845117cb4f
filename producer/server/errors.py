"""What the server refuses by itself, before anybody is asked.

* ServerError
  x Unauthorized        no token, or one that is unknown, expired or revoked
  x Forbidden           the token's role may not do this, or the request comes from another site
  x NotFound            nothing is here, or it is another tenant's
  x BodyInvalid         the body is no JSON, or no form
  x MediaUnsupported    the body's content type is another than the declared one
  x RequestInvalid      a field, parameter or header is not as declared
  x CursorInvalid       a cursor is none of ours
  x HeadersTooLarge     the headers have more bytes than are taken
  x BodyTooLarge        the body has more bytes than are taken
  x BodyTooSlow         the body did not arrive in time
  x TooManyRequests     the token asks more often than it may
  x RangeInvalid        a part of a file is asked for that it does not have
  x ExportNotReady      the export has no files yet, or failed
  x UploadFailed        the bucket of uploads does not take a file
  x NotReady            database, schema or broker are not as they have to be
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from producer.errors import ProducerError


class ServerError(ProducerError):
    """Base class."""

    code = "server"


class Unauthorized(ServerError):
    """No token, or one that is unknown, expired or revoked."""

    code = "unauthorized"


class Forbidden(ServerError):
    """The token's role may not do this, or the request comes from another site."""

    code = "forbidden"


class NotFound(ServerError):
    """Nothing is here, or it is another tenant's."""

    code = "not_found"


class BodyInvalid(ServerError):
    """The body is no JSON, or no form."""

    code = "body_invalid"


class MediaUnsupported(ServerError):
    """The body's content type is another than the declared one."""

    code = "media_unsupported"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """What is wrong with one field: where it stands, as a JSON pointer or a parameter's name, and why."""

    pointer: str
    detail: str


class RequestInvalid(ServerError):
    """A field, parameter or header is not as declared."""

    code = "request_invalid"

    def __init__(self, message: str, problems: Sequence[FieldProblem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class CursorInvalid(ServerError):
    """A cursor is none of ours."""

    code = "cursor_invalid"


class HeadersTooLarge(ServerError):
    """The headers have more bytes than are taken."""

    code = "headers_too_large"


class BodyTooLarge(ServerError):
    """The body has more bytes than are taken."""

    code = "body_too_large"


class BodyTooSlow(ServerError):
    """The body did not arrive in time."""

    code = "body_too_slow"
    retryable = True


class TooManyRequests(ServerError):
    """The token asks more often than it may."""

    code = "too_many_requests"
    retryable = True

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RangeInvalid(ServerError):
    """A part of a file is asked for that it does not have."""

    code = "range_invalid"

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class ExportNotReady(ServerError):
    """The export has no files yet, or failed."""

    code = "export_not_ready"
    retryable = True


class UploadFailed(ServerError):
    """The bucket of uploads does not take a file."""

    code = "upload_failed"
    retryable = True


class NotReady(ServerError):
    """Database, schema or broker are not as they have to be."""

    code = "not_ready"
    retryable = True
