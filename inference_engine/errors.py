"""Everything the engine raises on purpose.

* EngineError
  x PackageInvalid        the files are wrong, or a field is not known: never retry
    x FileDamaged         a fetched file is not what its hash says, twice: the provider's file is wrong
  x ModelNotFound         no provider knows this id, no such path: check the name
  x DownloadRefused       a file has no hash, or is larger than the limit: allow it, or leave it
  x ProviderError         a provider did not give what was asked for
    x Unauthorized        no key, or one that the provider does not know: pass another (401)
    x PaymentRequired     the provider wants to be paid (402)
    x Forbidden           the key does not open this model (403)
    x AccessPaused        the provider has paused this account (423)
    x AnswerInvalid       the provider's answer is not in the form that was agreed
    x ProviderUnavailable no answer, or a busy provider, after all tries: retry later
  x NoRunnableBackend     nothing here can run any package: install a runtime or use other hardware
  x SessionFailed         the runtime broke while running: retry on a fresh session
    x OutOfMemory         the batch did not fit: retry with a smaller one
  x OutputInvalid         the model gave NaN, infinity or a wrong shape: the input or the model is at fault
  x ImageUnreadable       this picture cannot be decoded; `code` says how, the next picture is not concerned
  x InputInvalid          the caller passed something that is not an image
  x ParameterInvalid      a parameter is unknown or out of its range
"""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """Base class. `code` is stable and stored; `retryable` says whether the same input may work later."""

    code: ClassVar[str] = "engine"
    retryable: ClassVar[bool] = False


class PackageInvalid(EngineError):
    """A model package lacks a file or declares something that cannot be."""

    code = "package_invalid"


class ModelNotFound(EngineError):
    """No provider knows this model."""

    code = "model_not_found"


class FileDamaged(PackageInvalid):
    """A fetched file does not have the hash or the size that its provider declares."""

    code = "file_damaged"


class DownloadRefused(EngineError):
    """A file is not fetched: it has no hash to be checked by, or is larger than the limit."""

    code = "download_refused"


class ProviderError(EngineError):
    """A provider did not give what was asked for."""

    code = "provider"


class Unauthorized(ProviderError):
    """The provider wants a key, or does not know the one that was sent."""

    code = "provider_unauthorized"


class PaymentRequired(ProviderError):
    """The provider wants to be paid for this model."""

    code = "provider_payment_required"


class Forbidden(ProviderError):
    """The key is known and does not open this model."""

    code = "provider_forbidden"


class AccessPaused(ProviderError):
    """The provider has paused the account that the key belongs to."""

    code = "provider_access_paused"


class AnswerInvalid(ProviderError):
    """The provider's answer is not in the form that was agreed."""

    code = "provider_answer_invalid"


class ProviderUnavailable(ProviderError):
    """The provider gave no answer, or only refusals that pass; `retry_after_s` is what it asked to wait."""

    code = "provider_unavailable"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CacheUnusable(ProviderUnavailable):
    """The folder of fetched packages refuses: read only, full, or another user's. What it holds whole still opens."""

    code = "cache_unusable"


class NoRunnableBackend(EngineError):
    """No package of this model can run on this machine; the message lists every reason."""

    code = "no_runnable_backend"


class SessionFailed(EngineError):
    """The backend raised while running a batch."""

    code = "session_failed"
    retryable = True


class OutOfMemory(SessionFailed):
    """The device had no room for the batch."""

    code = "out_of_memory"


class OutputInvalid(EngineError):
    """The model's output is not finite, or not of the shape that its family has."""

    code = "output_invalid"


class InputInvalid(EngineError):
    """What was passed is not an image that the engine takes."""

    code = "input_invalid"


class ParameterInvalid(EngineError):
    """A parameter is unknown, or its value is out of range."""

    code = "parameter_invalid"


class ImageUnreadable(EngineError):
    """One picture cannot be decoded. `reason` is one of `IMAGE_REASONS` and becomes the outcome's code."""

    code = "image_unreadable"

    def __init__(self, reason: str, message: str) -> None:
        if reason not in IMAGE_REASONS:
            raise ValueError(f"reason {reason!r} is not one of {', '.join(sorted(IMAGE_REASONS))}")
        super().__init__(message)
        self.reason = reason


#: Why a picture cannot be decoded: the closed list, with what each means.
IMAGE_REASONS = {
    "image_empty": "the file has no bytes",
    "not_an_image": "the first bytes are not those of a picture format",
    "unsupported_format": "a picture format that is not read here",
    "unsupported_depth": "more bits a sample, or other samples, than are read here",
    "image_truncated": "the file ends before the picture does",
    "image_corrupt": "the picture's structure contradicts itself",
    "image_too_large": "more pixels, or a longer side, than the limit",
    "image_zero_size": "a side of zero pixels",
    "image_bomb": "the declared size or number of scans is out of all proportion to the bytes",
}
