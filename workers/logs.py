"""Logs of a worker machine: one line an event on standard error, JSON in production.

What a line belongs to (its job, shard and model) is bound where the work begins, and stands in every line below it.
Whatever is logged, passwords, keys and signatures in it are blanked: URIs of items and databases end up in messages.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Libraries that tell each step at INFO.
_CHATTY = ("celery", "kombu", "amqp", "alembic")


#: What work in this thread belongs to.
_bound: ContextVar[Mapping[str, Any]] = ContextVar("nightshift_log_fields", default=MappingProxyType({}))

_BLANK = "***"
#: Names whose values are secret, as S3, GCS, Azure and the providers spell them.
_NAMES = r"(?:api[_-]?key|access[_-]?key|[\w-]*token|secret[\w-]*|password|passwd|authorization)"
_SECRETS = (
    # A password in a URL: up to the last `@`, because people forget to quote the others.
    (re.compile(r"(?<=://)([^/?#\s:@]*):[^\s\"'<>]*@"), rf"\1:{_BLANK}@"),
    # The whole query of a signed URL.
    (re.compile(r"(?i)\?[^\s\"'<>]*(?:x-(?:amz|goog)-(?:signature|credential)|[?&]sig(?:nature)?)=[^\s\"'<>]*"),
     f"?{_BLANK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {_BLANK}"),
    # A value in a query, a header, JSON or an assignment.
    (re.compile(rf"(?i)({_NAMES}[\"']?\s*[=:]\s*[\"']?)(?!bearer|basic|\*)[^\s&\"',;}}]+"), rf"\1{_BLANK}"),
)  # fmt: skip


def redacted(text: str) -> str:
    """Give a text without passwords, keys, tokens and signatures."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add fields to every line of this thread for the length of a block.

    Other threads get them with `contextvars.copy_context().run`.
    """
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def configure_logging(level: str, log_format: str, facts: Mapping[str, str] = MappingProxyType({})) -> None:
    """Send the process's records to standard error.

    Args:
        log_format: `console` or `json`.
        facts: fields of every JSON line, such as the worker's id.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(facts) if log_format == "json" else ConsoleFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: who says it, what it belongs to, and whatever `extra` a record carries."""

    def __init__(self, facts: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__()
        self._facts = {
            "service": "nightshift",
            "version": version("nightshift"),
            "host": socket.gethostname(),
            **facts,
        }

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, Any] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": "log",
            "logger": record.name,
            "message": record.getMessage(),
            **self._facts,
            "pid": record.process,
            **_bound.get(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
        if record.exc_info:
            line.update(self._error(record.exc_info))
        return json.dumps(_redacted_fields(line), default=lambda value: redacted(str(value)))

    def _error(self, raised: Any) -> dict[str, str]:
        error = raised[1]
        code = getattr(error, "code", None) or "internal_error"
        return {"error.code": str(code), "error.message": str(error), "traceback": self.formatException(raised)}


def _redacted_fields(value: Any) -> Any:
    """Redact each text of a field on its own, so that a pattern never reaches from one into the next."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {str(key): _redacted_fields(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted_fields(item) for item in value]
    return value


class ConsoleFormatter(logging.Formatter):
    """Time, level, logger, message: for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line, and its traceback below it."""
        return redacted(super().format(record))
