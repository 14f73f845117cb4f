"""Everything that fetching raises on purpose.

* FetchError
  x FetchDenied          the policy of this installation does not allow it; nothing was asked
  x FetchForbidden       whoever holds it does not let us read it
  x FetchNotFound        it is not there
  x FetchTooLarge        it has more bytes than may be read
  x FetchAnswerInvalid   the answer is none that can be used, and will be the same next time
  o FetchTimeout         it did not come in time
  o FetchFailed          the connection, the server or the storage failed

o: may be tried again. x: the same call gives the same error.
Messages never hold user names, passwords or query strings: see `fetching.policy.shown`.
"""

from __future__ import annotations

from typing import ClassVar

#: Every code that reading something remote can end with, and what each means.
FETCH_CODES = {
    "fetch_denied": "the settings of this installation do not allow the address or the path; nothing was asked",
    "fetch_forbidden": "the server or the storage does not let us read it",
    "fetch_not_found": "the server or the storage has no such item",
    "fetch_too_large": "the item has more bytes than are read",
    "fetch_answer_invalid": "the answer is none that can be used, such as an endless redirect or a compressed body",
    "fetch_timeout": "the item did not come in time; the same item may work later",
    "fetch_failed": "the connection, the server or the storage failed; the same item may work later",
}


class FetchError(Exception):
    """Base class. `code` is one of `FETCH_CODES`, stable and stored.

    Attributes:
        retry_after_s: seconds that the other side asks to wait; None: it did not say.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FetchDenied(FetchError):
    """The policy does not allow it."""

    code = "fetch_denied"


class FetchForbidden(FetchError):
    """Whoever holds it does not let us read it."""

    code = "fetch_forbidden"


class FetchNotFound(FetchError):
    """It is not there."""

    code = "fetch_not_found"


class FetchTooLarge(FetchError):
    """It has more bytes than may be read."""

    code = "fetch_too_large"


class FetchAnswerInvalid(FetchError):
    """The answer is none that can be used."""

    code = "fetch_answer_invalid"


class FetchTimeout(FetchError):
    """It did not come in time."""

    code = "fetch_timeout"
    retryable = True


class FetchFailed(FetchError):
    """The connection, the server or the storage failed."""

    code = "fetch_failed"
    retryable = True
