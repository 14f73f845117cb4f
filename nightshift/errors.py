"""Everything that the composition root raises on purpose.

* NightshiftError
  x SettingsInvalid     a variable or a line of nightshift.toml is wrong: change it
  x RedisNotFound       no Redis can be started here: install one, or name a broker
  x RedisFailed         the Redis that was started ended or did not answer: what it said is in the message
  x StackBusy           another process holds the data folder and cannot be joined: end it, or use another folder
  x AddressTaken        another program listens on the server's port: end it, or give another port
  x ServerMissing       FastAPI and uvicorn are not installed: install the extra `server`
  x WorkersEnded        the worker processes ended and do not come back: their log says why
"""

from __future__ import annotations

from typing import ClassVar


class NightshiftError(Exception):
    """Base class: what happened, why (`cause`), and what to do (`hint`)."""

    code: ClassVar[str] = "nightshift"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, cause: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.cause = cause
        self.hint = hint


class SettingsInvalid(NightshiftError):
    """A setting is unknown, or its value cannot be."""

    code = "settings_invalid"


class RedisNotFound(NightshiftError):
    """This machine has no Redis that could be started."""

    code = "redis_not_found"


class RedisFailed(NightshiftError):
    """The Redis that was started ended, or did not answer in time."""

    code = "redis_failed"
    retryable = True


class StackBusy(NightshiftError):
    """Another process holds the data folder and cannot be joined."""

    code = "stack_busy"
    retryable = True


class WorkersEnded(NightshiftError):
    """The worker processes ended and do not come back."""

    code = "workers_ended"
    retryable = True


class AddressTaken(NightshiftError):
    """The server's address cannot be listened on."""

    code = "address_taken"


class ServerMissing(NightshiftError):
    """What serves HTTP is not installed."""

    code = "server_missing"
